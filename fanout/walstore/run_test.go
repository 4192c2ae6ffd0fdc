package walstore

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// run starts Run and gives a function that ends it and returns its result.
func run(t testing.TB, s *Store) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var once sync.Once
	var err error
	stop = func() error {
		once.Do(func() { cancel(); err = <-done })
		return err
	}
	t.Cleanup(func() { _ = stop() })
	return stop
}

func TestRunFlushesEverythingBeforeItEnds(t *testing.T) {
	fsys := vfs.NewMem()
	s := openMem(t, fsys)
	stop := run(t, s)
	g := newGen()
	g.Fill(g.Start()+20<<20, rand.New(rand.NewPCG(1, 1))) // five times the tail
	begin(t, s, g)
	for _, m := range g.Messages(g.Start(), nil) {
		appendMessage(t, s, m)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if got := s.Positions(); got.Flushed != g.End() {
		t.Fatalf("flushed %s, want %s", got.Flushed, g.End())
	}
	s = reopen(t, s, fsys.Kill())
	readAll(t, s, g, 1, g.Start(), g.End())
}

// TestConcurrentReaders: sixty readers, some at the tail and some from the beginning, each woken by
// its watcher, while WAL comes in and old segments are sealed.
func TestConcurrentReaders(t *testing.T) {
	s := openMem(t, vfs.NewMem())
	run(t, s)
	g := newGen()
	g.Fill(g.Start()+12<<20, rand.New(rand.NewPCG(4, 4)))
	begin(t, s, g)
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			from := g.Start() + lsn.LSN(i)*8
			follow(t, s, g, from)
		})
	}
	for _, m := range g.Messages(g.Start(), rand.New(rand.NewPCG(8, 8))) {
		if m.At > g.Start()+4<<20 && m.At < g.Start()+5<<20 {
			_ = s.Positions()
		}
		appendMessage(t, s, m)
	}
	wg.Wait()
}

func follow(t testing.TB, s *Store, g *walstoretest.Generator, from lsn.LSN) {
	w := s.Watch(MovedReceived)
	defer w.Close()
	r, err := s.NewReader(1, from)
	if err != nil {
		t.Error(err)
		return
	}
	defer r.Close()
	buf := make([]byte, walstoretest.MaxSend)
	for range w.C() {
		for {
			c, err := r.Next(s.Positions().Received, len(buf))
			if err != nil {
				t.Error(err)
				return
			}
			if c.Len() == 0 {
				break
			}
			b, err := c.Bytes(buf)
			if err != nil || !bytes.Equal(b, g.Bytes(c.Start, c.End)) {
				t.Errorf("chunk [%s, %s): %v", c.Start, c.End, err)
				return
			}
		}
		if r.Pos() == g.End() {
			return
		}
	}
}

// TestDiskStall: while the disk hangs, WAL is received and served from memory until the tail is
// full; then the stream waits, and goes on with the disk.
func TestDiskStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := vfs.NewFault(vfs.NewMem())
		s := openMem(t, fsys)
		stop := run(t, s)
		g := newGen()
		g.Fill(g.Start()+12<<20, rand.New(rand.NewPCG(4, 4)))
		begin(t, s, g)
		synctest.Wait()
		stall := make(chan struct{})
		fsys.Set(func(op vfs.Op, _ string) error {
			if op == vfs.OpWrite {
				<-stall
			}
			return nil
		})
		var received atomic.Int64
		done := make(chan struct{})
		go func() {
			defer close(done)
			for _, m := range g.Messages(g.Start(), nil) {
				appendMessage(t, s, m)
				received.Store(int64(m.End()))
			}
		}()
		synctest.Wait()
		if !s.Paused() {
			t.Fatal("AppendFrom is not waiting")
		}
		held := lsn.LSN(received.Load()) - g.Start()
		if held > MinTailSize || held < MinTailSize-2*BlockSize {
			t.Fatalf("waits with %d bytes in memory", held)
		}
		readAll(t, s, g, 1, g.Start(), g.Start()+held)
		close(stall)
		<-done
		if s.Paused() {
			t.Fatal("still paused")
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		readAll(t, s, g, 1, g.Start(), g.End())
	})
}

func TestContextEndsTheWaitForTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openMem(t, vfs.NewMem()) // nobody writes
		g := newGen()
		g.Fill(g.Start()+6<<20, rand.New(rand.NewPCG(4, 4)))
		begin(t, s, g)
		cause := errors.New("stream over")
		ctx, cancel := context.WithCancelCause(context.Background())
		done := make(chan error, 1)
		go func() {
			var err error
			for _, m := range g.Messages(g.Start(), nil) {
				if err = s.AppendFrom(ctx, m.At, bytes.NewReader(m.Data), len(m.Data)); err != nil {
					break
				}
			}
			done <- err
		}()
		synctest.Wait()
		before := s.Positions()
		if !s.Paused() {
			t.Fatal("the tail has no bound")
		}
		cancel(cause)
		if err := <-done; !errors.Is(err, cause) || s.Positions() != before {
			t.Fatalf("got %v, positions %+v", err, s.Positions())
		}
	})
}

// TestFsyncFailure: after one failed fsync nothing is flushed any more, whatever a second one says.
func TestFsyncFailure(t *testing.T) {
	for _, victim := range []string{"000000010000000000000001", markName} {
		t.Run(victim, func(t *testing.T) {
			fsys := vfs.NewFault(vfs.NewMem())
			s := openMem(t, fsys)
			g := newGen()
			g.Record(10_000)
			begin(t, s, g)
			var failed atomic.Bool
			fsys.Set(func(op vfs.Op, name string) error {
				if op == vfs.OpSync && filepath.Base(name) == victim && failed.CompareAndSwap(false, true) {
					return syscall.EIO
				}
				return nil
			})
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- s.Run(ctx) }()
			appendMessage(t, s, walstoretest.Message{At: g.Start(), Data: g.Bytes(g.Start(), g.End())})
			err := <-done
			if !errors.Is(err, syscall.EIO) || !errors.Is(err, ErrFailed) {
				t.Fatalf("Run: %v", err)
			}
			if got := s.Positions().Flushed; got != g.Start() {
				t.Fatalf("flushed %s after the failure", got)
			}
			if err := s.AppendFrom(ctx, g.End(), bytes.NewReader(nil), 8); !errors.Is(err, ErrFailed) {
				t.Fatalf("AppendFrom: %v", err)
			}
			if err := s.StartStream(1, g.Start()); !errors.Is(err, ErrFailed) {
				t.Fatalf("StartStream: %v", err)
			}
		})
	}
}

// TestDiskFull: the stream waits for space and goes on when there is some.
func TestDiskFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := vfs.NewFault(vfs.NewMem())
		s := openMem(t, fsys)
		g := newGen()
		g.Fill(g.Start()+8<<20, rand.New(rand.NewPCG(4, 4)))
		begin(t, s, g)
		var full atomic.Bool
		full.Store(true)
		fsys.Set(func(op vfs.Op, name string) error {
			if full.Load() && strings.Contains(name, walDirName) && (op == vfs.OpWrite || op == vfs.OpAllocate) {
				return syscall.ENOSPC
			}
			return nil
		})
		stop := run(t, s)
		done := sendAll(t, s, g)
		synctest.Wait()
		if !s.Paused() || s.Err() != nil {
			t.Fatalf("paused %v, error %v", s.Paused(), s.Err())
		}
		full.Store(false)
		<-done // the clock of the bubble runs while everybody waits
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		readAll(t, s, g, 1, g.Start(), g.End())
	})
}
