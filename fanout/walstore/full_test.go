package walstore

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestSlowFsync: while fsync hangs, WAL goes on being received, written and served. Memory and open files of the WAL
// that waits for it are bounded, none of that WAL is called flushed, and all goes on by itself.
func TestSlowFsync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := vfs.NewFault(vfs.NewMem())
		s := openMem(t, fsys)
		stop := run(t, s)
		g := newGen()
		g.Fill(g.Start()+(maxUnsynced+12)<<20, rand.New(rand.NewPCG(4, 4)))
		begin(t, s, g)
		synctest.Wait()
		stall := make(chan struct{})
		fsys.Set(func(op vfs.Op, name string) error {
			if op == vfs.OpSync && isSegmentName(filepath.Base(name)) {
				<-stall
			}
			return nil
		})
		done := sendAll(t, s, g)
		synctest.Wait()
		p := s.Positions()
		s.mu.Lock()
		files, blocks := len(s.dirty), len(s.tail.blocks)
		s.mu.Unlock()
		if !s.Paused() || p.Flushed != g.Start() || p.Written != g.Start()+maxUnsynced<<20 || files != maxUnsynced ||
			blocks > MinTailSize/BlockSize {
			t.Errorf("paused %v, %+v, %d files, %d blocks in memory", s.Paused(), p, files, blocks)
		}
		readAll(t, s, g, 1, g.Start(), p.Received)
		close(stall)
		<-done
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if got := s.Positions().Flushed; got != g.End() {
			t.Fatalf("flushed %s", got)
		}
	})
}

// TestFullDiskMakesRoom: no digest can be written, and yet what slots let go of is removed.
func TestFullDiskMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := vfs.NewMem()
		fsys := vfs.NewFault(disk)
		s := openMem(t, fsys, func(o *Options) { o.KeepSize = 0 })
		g := newGen()
		g.Fill(g.Start()+12<<20, rand.New(rand.NewPCG(4, 4)))
		begin(t, s, g)
		var slot atomic.Int64
		slot.Store(int64(g.Start()))
		s.SetRetention(func() lsn.LSN { return lsn.LSN(slot.Load()) })
		const room = 6 // segment files, spare ones too
		fsys.Set(func(op vfs.Op, name string) error {
			if op != vfs.OpAllocate && (op != vfs.OpWrite || !strings.HasSuffix(name, vfs.TempSuffix)) {
				return nil
			}
			names, err := disk.ReadDir("/data/wal")
			if n := len(slices.DeleteFunc(names, func(name string) bool {
				return !isSegmentName(name) && !isSpare(name)
			})); n > room || n == room && op == vfs.OpWrite {
				return syscall.ENOSPC
			}
			return err
		})
		stop := run(t, s)
		done := sendAll(t, s, g)
		synctest.Wait()
		p := s.Positions()
		if !s.Paused() || !s.Full() || p.Flushed != p.Written || p.Written >= p.Received {
			t.Fatalf("paused %v, full %v, %+v", s.Paused(), s.Full(), p)
		}
		slot.Store(int64(p.Flushed)) // lost, or moved
		moved := s.Watch(MovedFlushed)
		defer moved.Close()
		for <-done; s.Positions().Flushed != g.End(); <-moved.C() {
			slot.Store(int64(s.Positions().Flushed))
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if p := s.Positions(); s.Full() || p.Flushed != g.End() {
			t.Fatalf("full %v, %+v", s.Full(), p)
		}
	})
}

// TestDescriptorsRunOut: whatever can't be opened, in the middle of a switch of segments as well, is opened later. The
// store goes on, and the segments are whole.
func TestDescriptorsRunOut(t *testing.T) {
	for _, what := range []vfs.Op{vfs.OpOpen, vfs.OpCreate, vfs.OpSyncDir} {
		for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE} {
			synctest.Test(t, func(t *testing.T) {
				disk := vfs.NewMem()
				fsys := vfs.NewFault(disk)
				s := openMem(t, fsys)
				g := newGen()
				g.Fill(g.Start()+6<<20, rand.New(rand.NewPCG(4, 4)))
				begin(t, s, g)
				stop := run(t, s)
				synctest.Wait()
				fsys.Set(func(op vfs.Op, _ string) error {
					if op == what || what == vfs.OpCreate && op == vfs.OpOpen {
						return errno
					}
					return nil
				})
				done := sendAll(t, s, g)
				synctest.Wait()
				if p := s.Positions(); s.Err() != nil || !s.Full() || p.Flushed == g.End() {
					t.Fatalf("%s, %v: %v, full %v, %+v", what, errno, s.Err(), s.Full(), p)
				}
				fsys.Set(nil)
				moved := s.Watch(MovedFlushed)
				defer moved.Close()
				for <-done; s.Positions().Flushed != g.End(); {
					<-moved.C()
				}
				readAll(t, s, g, 1, g.Start(), g.End())
				if err := stop(); err != nil || s.Full() {
					t.Fatalf("%s, %v: %v", what, errno, err)
				}
			})
		}
	}
}

// TestSlowReaderHoldsNothingWhenShort: it is told that its WAL is gone.
func TestSlowReaderHoldsNothingWhenShort(t *testing.T) {
	var short atomic.Bool
	s := openMem(t, vfs.NewMem(), func(o *Options) { o.KeepSize, o.Short = 0, short.Load })
	g := newGen()
	g.Fill(g.Start()+8<<20, rand.New(rand.NewPCG(4, 4)))
	begin(t, s, g)
	r, err := s.NewReader(1, g.Start())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	store(t, s, g, g.Start())
	for _, want := range []bool{false, true} {
		short.Store(want)
		if err := s.housekeepingStep(); err != nil {
			t.Fatal(err)
		}
		if gone := s.Positions().Oldest > g.Start(); gone != want {
			t.Fatalf("short %v: oldest is %s", want, s.Positions().Oldest)
		}
	}
	if _, err := r.Next(g.End(), 1<<20); !errors.Is(err, ErrRemoved) {
		t.Fatalf("got %v", err)
	}
}

// TestReportWrittenOnAFullDisk: where the bound cannot be noted reports end where WAL is flushed. Nobody tries again for
// them, so the store does not pass for full.
func TestReportWrittenOnAFullDisk(t *testing.T) {
	g, fault := newGen(), vfs.NewFault(vfs.NewMem())
	s := reporting(t, fault, g)
	s.ReportFlushed()
	if err := s.SetPromised(s.Positions().Flushed); err != nil { // nothing is owed
		t.Fatal(err)
	}
	if err := s.SetPromised(PromisedAll); err != nil {
		t.Fatal(err)
	}
	fault.Set(func(_ vfs.Op, name string) error {
		if strings.Contains(name, promisedName) {
			return syscall.ENOSPC
		}
		return nil
	})
	if err := s.ReportWritten(); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("%v", err)
	}
	g.Record(3000)
	send(t, s, g, s.Positions().Received)
	if p := s.Positions(); p.Reportable != p.Flushed {
		t.Errorf("%+v", p)
	}
	if more, err := s.aheadStep(); more || err != nil {
		t.Errorf("it is tried again: %v, %v", more, err)
	}
}
