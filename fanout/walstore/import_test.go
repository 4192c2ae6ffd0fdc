package walstore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// lateStore holds the last third of g's twelve segments; it began there.
func lateStore(t *testing.T, fsys FS) (*Store, *walstoretest.Generator) {
	t.Helper()
	g := newGen()
	for g.End() < g.Start()+12<<20 {
		g.Record(60_000)
	}
	s := openMem(t, fsys)
	if err := s.Adopt(identityOf(g)); err != nil {
		t.Fatal(err)
	}
	start(t, s, 1, g.Start()+8<<20)
	store(t, s, g, g.Start()+8<<20)
	if err := s.housekeepingStep(); err != nil {
		t.Fatal(err)
	}
	return s, g
}

func segmentAt(t *testing.T, s *Store, at lsn.LSN) Segment {
	t.Helper()
	k, ok := s.SegmentOf(at)
	if !ok {
		t.Fatalf("%s is not wanted", at)
	}
	return k
}

func importOf(t *testing.T, s *Store, g *walstoretest.Generator, at lsn.LSN) error {
	t.Helper()
	k := segmentAt(t, s, at)
	return s.Import(k, bytes.NewReader(g.Bytes(k.Start, k.End)))
}

// TestImportOlderWAL: WAL from before the store began is read from the moment it is imported, counts
// as stored once it has no hole, and stays for who waits for it.
func TestImportOlderWAL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := vfs.NewMem()
		s, g := lateStore(t, fsys)
		s.SetKeepSize(0)
		began := g.Start() + 8<<20
		if got := s.Positions().Oldest; got != began {
			t.Fatalf("oldest %s, want %s", got, began)
		}
		r, err := s.NewPatientReader(1, g.Start()+100)
		if err != nil {
			t.Fatal(err)
		}
		for at := g.Start(); at < began; at += 1 << 20 {
			if at == g.Start() {
				if _, err := r.Next(g.End(), 1<<20); !errors.Is(err, ErrRemoved) {
					t.Fatalf("before the import: %v", err)
				}
			}
			if err := importOf(t, s, g, at); err != nil {
				t.Fatal(err)
			}
			if err := s.housekeepingStep(); err != nil { // retention runs: the reader holds
				t.Fatal(err)
			}
			if got := s.Positions().Oldest; (got == g.Start()) != (at == began-1<<20) {
				t.Fatalf("oldest %s after the import of %s", got, at)
			}
		}
		readAll(t, s, g, 1, g.Start()+100, g.End())
		s = reopen(t, s, fsys)
		if got := s.Positions().Oldest; got != g.Start() {
			t.Fatalf("oldest after a restart %s", got)
		}
		readAll(t, s, g, 1, g.Start(), g.End())
		if err := importOf(t, s, g, g.Start()); err != nil {
			t.Fatal(err)
		}
		s.SetKeepSize(0)
		step := func() lsn.LSN {
			if err := s.housekeepingStep(); err != nil {
				t.Fatal(err)
			}
			return s.Positions().Oldest
		}
		if got := step(); got != g.Start() {
			t.Fatalf("removed at once: oldest %s", got)
		}
		time.Sleep(importGrace + time.Second)
		if got := step(); got <= began {
			t.Fatalf("never removed: oldest %s", got)
		}
	})
}

// TestImportRepairs: a segment that was damaged at rest is replaced by one with the digest it once had,
// and by no other; a reader that met the damage goes on.
func TestImportRepairs(t *testing.T) {
	fsys := vfs.NewMem()
	s, first, end := bigStore(t, fsys)
	g := newGen()
	for g.End() < g.Start()+15<<19 {
		g.Record(2000)
	}
	k := segmentAt(t, s, first+1<<20)
	flipBit(t, s, k, 77_777)
	r, err := s.NewReader(1, k.Start)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for range 2 {
		if _, err := r.Next(end, 1<<20); !errors.Is(err, ErrDamaged) {
			t.Fatalf("damaged: %v", err)
		}
	}
	if err := s.Check(k); !errors.Is(err, ErrDamaged) {
		t.Fatalf("Check: %v", err)
	}
	good := g.Bytes(k.Start, k.End)
	other := bytes.Clone(good)
	other[500_000] ^= 1
	for name, c := range map[string]struct {
		r    io.Reader
		want error
	}{
		"other bytes": {bytes.NewReader(other), ErrDiverged},
		"too short":   {bytes.NewReader(good[:900_000]), io.ErrUnexpectedEOF},
		"other WAL":   {bytes.NewReader(g.Bytes(first, first+1<<20)), ErrPage},
	} {
		if err := s.Import(k, c.r); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.Import(k, bytes.NewReader(good)); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(k); err != nil {
		t.Fatal(err)
	}
	if c, err := r.Next(end, 1<<20); err != nil || c.Start != k.Start {
		t.Fatalf("the same reader: %v", err)
	}
	readAll(t, s, g, 1, first, end)
	names, _ := fsys.ReadDir("/data/wal")
	if slices.ContainsFunc(names, func(n string) bool { return strings.HasSuffix(n, vfs.TempSuffix) }) {
		t.Fatalf("left behind: %v", names)
	}
}

// TestImportWithoutDigest: where nothing says what the bytes were, records must be whole and join both
// neighbours.
func TestImportWithoutDigest(t *testing.T) {
	s, g := lateStore(t, vfs.NewMem())
	begin := g.Start() + 8<<20
	k := segmentAt(t, s, begin-1)
	bad := bytes.Clone(g.Bytes(k.Start, k.End))
	for name, at := range map[string]int{"inside": 300_000, "record into the neighbour": len(bad) - 9} {
		bad[at] ^= 0x40
		if err := s.Import(k, bytes.NewReader(bad)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		bad[at] ^= 0x40
	}
	if err := s.Import(k, bytes.NewReader(bad)); err != nil {
		t.Error(err)
	}
	if _, ok := s.SegmentOf(g.End()); ok {
		t.Error("the segment that is being received is wanted")
	}
	k.Timeline = 9
	if err := s.Import(k, bytes.NewReader(bad)); !errors.Is(err, ErrTimeline) {
		t.Errorf("another timeline: %v", err)
	}
}

// flipBit flips a bit of a stored segment, behind the back of the store.
func flipBit(t *testing.T, s *Store, k Segment, at int64) {
	t.Helper()
	f, err := s.fs.OpenWrite(s.walPath(s.Name(k)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

// TestImportBesideTheStream: what is fetched is joined to its neighbours while new segments come.
func TestImportBesideTheStream(t *testing.T) {
	s, g := lateStore(t, vfs.NewMem())
	began, end := g.Start()+8<<20, g.End()
	for g.End() < end+16<<20 {
		g.Record(60_000)
	}
	var older []Segment
	var content [][]byte
	for at := began - 1<<20; at >= g.Start(); at -= 1 << 20 {
		older = append(older, segmentAt(t, s, at))
		content = append(content, g.Bytes(at, at+1<<20))
	}
	messages := g.Messages(end, nil)
	streamed := make(chan error, 1)
	go func() {
		for _, m := range messages {
			err := s.AppendFrom(context.Background(), m.At, bytes.NewReader(m.Data), len(m.Data))
			for more := true; more && err == nil; {
				more, err = s.writeStep()
			}
			if err != nil {
				streamed <- err
				return
			}
		}
		streamed <- nil
	}()
	for i, seg := range older {
		if err := s.Import(seg, bytes.NewReader(content[i])); err != nil {
			t.Error(err)
		}
	}
	if err := <-streamed; err != nil {
		t.Fatal(err)
	}
	drain(t, s)
	readAll(t, s, g, 1, g.Start(), g.End())
}
