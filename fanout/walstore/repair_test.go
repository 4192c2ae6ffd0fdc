package walstore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/fanout/walstore/walformat"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// ownedStore is a closed store of g's WAL: several segments, the last one not complete.
func ownedStore(t *testing.T, long bool) (*vfs.Mem, *walstoretest.Generator) {
	t.Helper()
	m := vfs.NewMem()
	s := openMem(t, m)
	g := newGen()
	for g.End() < g.Start()+9<<19 {
		g.Record(3000)
	}
	if long { // begins two segments before the one in which it ends
		g.Record(5 << 18)
		g.Record(3000)
	}
	begin(t, s, g)
	store(t, s, g, g.Start())
	if err := s.housekeepingStep(); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	return m, g
}

// lastSegment is the name of the file that holds the end.
func lastSegment(g *walstoretest.Generator) string {
	return testSeg.FileName(1, testSeg.Segno(g.End()-1))
}

// TestDamageBelowTheMark: whatever a stopped store lost, it opens, claims and serves what is good, and
// has everything again once the stream has brought it.
func TestDamageBelowTheMark(t *testing.T) {
	tail := func(g *walstoretest.Generator) lsn.LSN { return testSeg.Floor(g.End() - 1) }
	cases := []struct {
		name  string
		long  bool
		spoil func(m *vfs.Mem, g *walstoretest.Generator)
		from  func(g *walstoretest.Generator) lsn.LSN // the end is not before it
	}{
		{"a bit of a record", false, func(m *vfs.Mem, g *walstoretest.Generator) {
			flip(m, "wal/"+lastSegment(g), 100_000)
		}, tail},
		{"a bit of the first record's rest", false, func(m *vfs.Mem, g *walstoretest.Generator) {
			flip(m, "wal/"+lastSegment(g), 44)
		}, func(g *walstoretest.Generator) lsn.LSN { return tail(g) - lsn.LSN(testSeg) }},
		{"a bit of a long record's rest", true, func(m *vfs.Mem, g *walstoretest.Generator) {
			flip(m, "wal/"+lastSegment(g), 3000)
		}, func(g *walstoretest.Generator) lsn.LSN { return tail(g) - 2*lsn.LSN(testSeg) }},
		{"the first page's header", false, func(m *vfs.Mem, g *walstoretest.Generator) {
			flip(m, "wal/"+lastSegment(g), 0)
		}, func(g *walstoretest.Generator) lsn.LSN { return tail(g) - lsn.LSN(testSeg) }},
		{"the last segment is gone", false, func(m *vfs.Mem, g *walstoretest.Generator) {
			_ = m.Remove("/data/wal/" + lastSegment(g))
		}, tail},
		{"the last segment is cut", false, func(m *vfs.Mem, g *walstoretest.Generator) {
			f, _ := m.Create("/data/wal/" + lastSegment(g))
			_, _ = f.WriteAt(g.Bytes(tail(g), tail(g)+10*lsn.PageSize), 0)
		}, tail},
		{"the last two segments", false, func(m *vfs.Mem, g *walstoretest.Generator) {
			_ = m.Remove("/data/wal/" + lastSegment(g))
			flip(m, "wal/"+testSeg.FileName(1, testSeg.Segno(tail(g))-1), 5000)
		}, func(g *walstoretest.Generator) lsn.LSN { return tail(g) - lsn.LSN(testSeg) }},
		{"all segments are gone", false, func(m *vfs.Mem, g *walstoretest.Generator) {
			for segno := range testSeg.Segno(g.End()) + 1 {
				_ = m.Remove("/data/wal/" + testSeg.FileName(1, segno))
			}
		}, tail},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m, g := ownedStore(t, c.long)
			c.spoil(m, g)
			checkRepair(t, m, g, c.from(g))
		})
	}
}

func checkRepair(t *testing.T, fsys FS, g *walstoretest.Generator, from lsn.LSN) {
	t.Helper()
	s := openMem(t, fsys)
	r, ok := s.Repairing()
	p := s.Positions()
	if !ok || r.To != g.End() || r.From != p.Received || p.Received < from || p.Received >= g.End() ||
		p.Flushed != p.Received {
		t.Fatalf("repairing %+v (%v), positions %+v, WAL ends at %s", r, r.Damage, p, g.End())
	}
	t.Log(r.From, r.To, r.Damage)
	at := testSeg.Floor(p.Received)
	if p.Oldest < p.Received {
		readAll(t, s, g, 1, at, p.Received)
	}
	// A part of what is owed is held back. A crash in the middle of the repair forgets nothing: what is still damaged is
	// found again.
	start(t, s, 1, at)
	msgs := g.Messages(at, nil)
	for _, msg := range msgs[:len(msgs)/2] {
		appendMessage(t, s, msg)
	}
	drain(t, s)
	half := s.Positions()
	if half != p {
		t.Fatalf("in the middle %+v, want %+v", half, p)
	}
	s = reopen(t, s, fsys)
	if again, ok := s.Repairing(); !ok || again.To != g.End() {
		t.Fatalf("after a crash: %+v", again)
	}
	receiveAgain(t, s, g)
	if _, ok := s.Repairing(); ok || s.Positions().Flushed != g.End() {
		t.Fatalf("not repaired: %+v", s.Positions())
	}
	readAll(t, s, g, 1, at, g.End())
	s = reopen(t, s, fsys)
	if r, ok := s.Repairing(); ok {
		t.Fatalf("still to be repaired after a restart: %+v", r)
	}
}

// TestAppendSegment: what no upstream has any more comes from an archive, if it is what was stored.
func TestAppendSegment(t *testing.T) {
	for _, c := range []struct {
		name    string
		spoilAt int64 // in the last segment
		want    func(err error) bool
		archive func(wal []byte) []byte
	}{
		{"in the middle", 100_000, nil, nil},
		{"from a segment before", 44, nil, nil},
		{"short", 100_000, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) },
			func(wal []byte) []byte { return wal[:len(wal)-1] }},
		{"a bit of it", 100_000, func(err error) bool { return errors.Is(err, ErrDamaged) },
			func(wal []byte) []byte { wal[300_000] ^= 1; return wal }},
		{"a page of it", 100_000, func(err error) bool { return errors.As(err, new(*walformat.PageError)) },
			func(wal []byte) []byte { wal[5*lsn.PageSize] ^= 1; return wal }},
		{"of another history", 100_000, func(err error) bool { return errors.Is(err, ErrDamaged) },
			func(wal []byte) []byte {
				other := newGen()
				other.Fill(other.Start()+8<<20, rand.New(rand.NewPCG(3, 3)))
				return other.Bytes(other.Start()+4<<20, other.Start()+5<<20)
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, g := ownedStore(t, false)
			g.Fill(g.Start()+8<<20, rand.New(rand.NewPCG(2, 2)))
			flip(m, "wal/"+testSeg.FileName(1, testSeg.Segno(g.Start()+4<<20)), c.spoilAt)
			s := openMem(t, m)
			r, ok := s.Repairing()
			if !ok {
				t.Fatal("nothing to repair")
			}
			if c.want != nil {
				seg, _ := s.NextSegment()
				err := s.AppendSegment(t.Context(), seg, bytes.NewReader(c.archive(bytes.Clone(g.Bytes(seg.Start, seg.End)))))
				if !c.want(err) || s.Positions().Received != r.From {
					t.Fatalf("%v, positions %+v", err, s.Positions())
				}
			}
			for s.Positions().Received < g.Start()+6<<20 {
				seg, _ := s.NextSegment()
				if err := s.AppendSegment(t.Context(), seg, bytes.NewReader(g.Bytes(seg.Start, seg.End))); err != nil {
					t.Fatal(err)
				}
				drain(t, s)
			}
			if _, ok := s.Repairing(); ok {
				t.Fatal("not repaired")
			}
			at := g.Start() + 6<<20
			start(t, s, 1, at)
			store(t, s, g, at)
			s = reopen(t, s, m)
			readAll(t, s, g, 1, g.Start(), g.End())
			names, _ := m.ReadDir("/data/wal")
			for _, name := range names {
				if strings.HasSuffix(name, importSuffix) {
					t.Errorf("%s was left", name)
				}
			}
		})
	}
}

// TestUnreadableBelowTheMark: a disk that can't read is damage like any other.
func TestUnreadableBelowTheMark(t *testing.T) {
	m, g := ownedStore(t, false)
	f := vfs.NewFault(m)
	bad := true
	f.Set(func(op vfs.Op, name string) error {
		if bad && op == vfs.OpRead && name == "/data/wal/"+lastSegment(g) {
			return syscall.EIO
		}
		return nil
	})
	s := openMem(t, f)
	if r, ok := s.Repairing(); !ok || s.Positions().Received != r.From || r.From >= g.End() {
		t.Fatalf("%+v", r)
	}
	_ = s.Close()
	bad = false
	s = openMem(t, f)
	if _, ok := s.Repairing(); ok || s.Positions().Received != g.End() {
		t.Fatalf("%+v", s.Positions())
	}
}

// TestRepairAtAFork: the upstream has left the timeline inside what is owed.
func TestRepairAtAFork(t *testing.T) {
	m, g := ownedStore(t, false)
	flip(m, "wal/"+lastSegment(g), 100_000)
	s := openMem(t, m)
	at := testSeg.Floor(s.Positions().Received)
	var fork lsn.LSN
	for _, r := range g.Records() {
		if r.End > s.Positions().Received && r.End < g.End() && fork == 0 {
			fork = r.End
		}
	}
	next := g.Fork(fork, 2)
	next.Record(3000)
	start(t, s, 1, at)
	for _, msg := range g.Messages(at, nil) {
		if msg.At < fork {
			appendMessage(t, s, walstoretest.Message{At: msg.At, Data: msg.Data[:min(len(msg.Data), int(fork-msg.At))]})
		}
	}
	if err := s.PutHistory(2, next.HistoryFile()); err != nil {
		t.Fatal(err)
	}
	start(t, s, 2, at)
	store(t, s, next, at)
	if _, ok := s.Repairing(); ok || s.Positions().Flushed != next.End() {
		t.Fatalf("%+v", s.Positions())
	}
	s = reopen(t, s, m)
	readAll(t, s, next, 2, testSeg.Floor(fork), next.End())
}

// TestOpenEndsWithItsContext, also in the walk.
func TestOpenEndsWithItsContext(t *testing.T) {
	m, _ := ownedStore(t, false)
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("enough")
	cancel(cause)
	if _, err := Open(ctx, Options{Dir: "/data", FS: m}); !errors.Is(err, cause) {
		t.Fatalf("got %v", err)
	}
}
