package walstore

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// endless gives WAL without end: what it made once, with the addresses of pages and nothing else
// changed. Records are not valid beyond the first round; ingest does not look at them.
type endless struct {
	at   lsn.LSN
	size lsn.SegSize
	wal  []byte // two segments
}

func newEndless(size lsn.SegSize) (*endless, *walstoretest.Generator) {
	g := walstoretest.New(walstoretest.Config{SegSize: size})
	for g.End() < g.Start()+lsn.LSN(size)+lsn.PageSize {
		g.Record(1000)
	}
	return &endless{at: g.Start(), size: size, wal: g.Bytes(g.Start(), g.Start()+lsn.LSN(size))}, g
}

// Read implements io.Reader over whole pages.
func (e *endless) Read(b []byte) (int, error) {
	off := e.size.Offset(e.at)
	n := copy(b, e.wal[off:])
	for at := (lsn.PageSize - e.at.PageOffset()) % lsn.PageSize; at+16 <= n; at += lsn.PageSize {
		addr := uint64(e.at) + uint64(at)
		for i := range 8 {
			b[at+8+i] = byte(addr >> (8 * i))
		}
	}
	e.at += lsn.LSN(n)
	return n, nil
}

// BenchmarkIngest is AppendFrom with the disk stages at work, by size of message; the time includes
// the last flush. "disk" is the real one, fsync included; "memory" shows the store's own cost.
func BenchmarkIngest(b *testing.B) {
	for _, where := range []string{"disk", "memory"} {
		for _, n := range []int{8 << 10, 128 << 10} {
			b.Run(fmt.Sprintf("%s/%dKiB", where, n>>10), func(b *testing.B) {
				o := Options{Dir: b.TempDir(), KeepSize: 256 << 20}
				if where == "memory" {
					o.FS = vfs.NewMem()
				}
				s, err := Open(context.Background(), o)
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(func() { _ = s.Close() })
				stop := run(b, s)
				e, g := newEndless(lsn.DefaultSegSize)
				begin(b, s, g)
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					if err := s.AppendFrom(context.Background(), e.at, e, n); err != nil {
						b.Fatal(err)
					}
				}
				if err := stop(); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}

// BenchmarkCommit is the latency of one small message from AppendFrom to flushed.
func BenchmarkCommit(b *testing.B) {
	s, err := Open(context.Background(), Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	run(b, s)
	g := walstoretest.New(walstoretest.Config{})
	begin(b, s, g)
	w := s.Watch(MovedFlushed)
	for b.Loop() {
		at := g.End()
		end := g.Record(200).End
		if err := s.AppendFrom(context.Background(), at, bytes.NewReader(g.Bytes(at, end)), int(end-at)); err != nil {
			b.Fatal(err)
		}
		for s.Positions().Flushed < end {
			<-w.C()
		}
	}
}

// BenchmarkNext reads the tail: no allocation.
func BenchmarkNext(b *testing.B) {
	s := openMem(b, vfs.NewMem())
	g := newGen()
	for g.End() < g.Start()+3<<20 {
		g.Record(1000)
	}
	begin(b, s, g)
	send(b, s, g, g.Start())
	r, err := s.NewReader(1, g.Start())
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	b.SetBytes(walstoretest.MaxSend)
	b.ReportAllocs()
	for b.Loop() {
		c, err := r.Next(g.End(), walstoretest.MaxSend)
		if err != nil {
			b.Fatal(err)
		}
		if c.Len() == 0 {
			r.pos = g.Start()
		}
	}
}

// BenchmarkNudge is the cost of one message's wake-up with many watchers that are busy.
func BenchmarkNudge(b *testing.B) {
	for _, n := range []int{16, 1024} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var set Watchers
			for range n {
				set.Add(MovedReceived)
			}
			for b.Loop() {
				set.Nudge(MovedReceived)
			}
		})
	}
}

// TestHotPathsAllocateNothing fails if a path that the benchmarks measure allocates.
func TestHotPathsAllocateNothing(t *testing.T) {
	s := openMem(t, vfs.NewMem(), func(o *Options) { o.TailSize = 64 << 20 })
	e, g := newEndless(lsn.DefaultSegSize)
	begin(t, s, g)
	ctx := context.Background()
	const n = 8 << 10
	appendOne := func() {
		if err := s.AppendFrom(ctx, e.at, e, n); err != nil {
			t.Fatal(err)
		}
	}
	appendOne() // makes the first block
	if got := testing.AllocsPerRun(100, appendOne); got != 0 {
		t.Errorf("AppendFrom: %v allocations", got)
	}
	r, err := s.NewReader(1, g.Start())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	next := func() {
		if _, err := r.Next(e.at, n); err != nil {
			t.Fatal(err)
		}
	}
	if got := testing.AllocsPerRun(50, next); got != 0 || r.Pos() == g.Start() {
		t.Errorf("Next: %v allocations", got)
	}
	step := func() {
		appendOne()
		steps(t, s.writeStep, s.syncStep)
	}
	step()
	if got := testing.AllocsPerRun(20, step); got > 3 { // the file system in memory makes pages
		t.Errorf("a write and a sync: %v allocations", got)
	}
	if got := testing.AllocsPerRun(100, func() { _ = s.Positions() }); got != 0 {
		t.Errorf("Positions: %v allocations", got)
	}
}

// BenchmarkDigest hashes a segment's file, as before it is served.
func BenchmarkDigest(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "segment"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	e, _ := newEndless(lsn.DefaultSegSize)
	if _, err := f.Write(e.wal); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(e.wal)))
	b.ReportAllocs()
	h := xxhash.New()
	for b.Loop() {
		h.Reset()
		if err := hashFile(h, &vfs.OSFile{File: f}, int64(len(e.wal))); err != nil {
			b.Fatal(err)
		}
	}
}
