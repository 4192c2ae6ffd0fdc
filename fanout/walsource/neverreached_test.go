package walsource

import (
	"bytes"
	"fmt"
	"log/slog"
	"syscall"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestServerThatWasNotFollowed: a standby is promoted, and the proxy is about to follow it. It is killed before its store is
// on that timeline, or its disk is full. That server dies, and another standby, which knows nothing of it, is promoted to
// the same number. Nothing of the first one's timeline was ever taken: the second one is followed.
func TestServerThatWasNotFollowed(t *testing.T) {
	g := walstoretest.New(walstoretest.Config{SegSize: 1 << 20})
	for range 100 {
		g.Record(3000)
	}
	promotedAt := func(fork lsn.LSN) server {
		return server{
			system: g.Source.System, timeline: 2, xlogpos: fork + 1<<20, history: forkedAt(fork), seg: 1 << 20,
			version: 150000, endpoint: "db2:5432",
		}
	}
	first, second := promotedAt(g.End()), promotedAt(g.Start()+200_000)
	for name, fault := range map[string]error{"the disk is full": syscall.ENOSPC, "it is killed": vfs.ErrLie} {
		disk := vfs.NewMem()
		faulty := vfs.NewFault(disk)
		open := func(fsys vfs.FS) (*walstore.Store, *Supply) {
			s, err := walstore.Open(t.Context(), walstore.Options{Dir: "/data", FS: fsys, KeepSize: 1 << 30})
			if err != nil {
				t.Fatal(err)
			}
			r := with(t, Options{Store: s})
			r.log = slog.New(slog.DiscardHandler)
			return s, r
		}
		s, r := open(faulty)
		err := s.Adopt(walstore.Identity{System: g.Source.System, SegSize: g.Source.SegSize, ServerMajor: g.Source.Major})
		if err == nil {
			err = s.StartStream(1, g.Start())
		}
		for _, m := range g.Messages(g.Start(), nil) {
			if err == nil {
				err = s.AppendFrom(t.Context(), m.At, bytes.NewReader(m.Data), len(m.Data))
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		faulty.Set(func(op vfs.Op, _ string) error {
			if op == vfs.OpAllocate {
				return fault
			}
			return nil
		})
		r.own = fmt.Appendf(nil, "1\t%s\tno recovery target specified\n", g.End())
		if fault == vfs.ErrLie {
			if err := s.PutHistory(2, r.own); err != nil { // startStream's first step
				t.Fatal(err)
			}
			s, r = open(disk.Kill())
		} else if err := r.startStream(startPoint{2, g.Start()}, first); err == nil {
			t.Fatalf("%s: the first one is followed", name)
		}
		second.known = r.knowledge()
		if err := r.grounds().judge(candidate{host: "db3", srv: second}); err != nil {
			t.Errorf("%s: the store is on timeline %s, and the second one is refused: %v", name, s.Positions().Timeline, err)
		}
		r.own = fmt.Appendf(nil, "1\t%s\tno recovery target specified\n", g.Start()+200_000)
		if _, err := r.acceptHistory(2, r.own); err != nil {
			t.Errorf("%s: its history is refused: %v", name, err)
		}
		if err := s.PutHistory(2, r.own); err != nil {
			t.Errorf("%s: its history is not stored: %v", name, err)
		}
	}
}
