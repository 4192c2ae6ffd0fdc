package walstore

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestCleanStopMakesTheMarkSure: at a clean stop the mark calls all sure that was published. A full disk leaves the mark as
// it is, and is no failure; another error is one.
func TestCleanStopMakesTheMarkSure(t *testing.T) {
	for _, c := range []struct {
		err   error
		fails bool
	}{{nil, false}, {syscall.ENOSPC, false}, {syscall.EIO, true}} {
		fault, g := vfs.NewFault(vfs.NewMem()), newGen()
		s := openMem(t, fault)
		for range 40 {
			g.Record(3000)
		}
		begin(t, s, g)
		end := g.Start() + 8*lsn.PageSize
		appendMessage(t, s, walstoretest.Message{At: g.Start(), Data: g.Bytes(g.Start(), end)})
		steps(t, s.writeStep, s.markStep, s.syncStep)
		if p := s.Positions(); p.Flushed != end || s.sure >= end {
			t.Fatalf("%+v, sure %s", p, s.sure)
		}
		fault.Set(func(op vfs.Op, path string) error {
			if op == vfs.OpWrite && filepath.Base(path) == markName {
				return c.err
			}
			return nil
		})
		err := s.closeMark()
		if closed := s.sure == end; (err != nil) != c.fails || closed != (c.err == nil) || s.stages.mark.last.Sure != s.sure {
			t.Errorf("%v: %v, sure %s of %s, on disk %+v", c.err, err, s.sure, end, s.stages.mark.last)
		}
	}
}
