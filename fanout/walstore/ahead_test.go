package walstore

import (
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// readTo reads up to at.
func readTo(t *testing.T, r *Reader, at lsn.LSN) {
	t.Helper()
	for r.Pos() < at {
		if _, err := r.Next(at, 128<<10); err != nil {
			t.Fatalf("at %s: %v", r.Pos(), err)
		}
	}
}

// verifiedAt reports when a segment was found good.
func verifiedAt(s *Store, segno uint64) time.Time {
	s.segs.mu.Lock()
	defer s.segs.mu.Unlock()
	return s.segs.verified[segKey{1, segno}]
}

// behind returns a store that runs on fsys until stop, and a reader that is twelve segments behind.
func behind(t *testing.T, fsys FS) (s *Store, g *walstoretest.Generator, r *Reader, stop func() error) {
	t.Helper()
	s, g = openMem(t, fsys), newGen()
	stop = run(t, s)
	g.Fill(g.Start()+12<<20, rand.New(rand.NewPCG(3, 3)))
	begin(t, s, g)
	for _, m := range g.Messages(g.Start(), nil) {
		appendMessage(t, s, m)
	}
	synctest.Wait()
	r, err := s.NewReader(1, g.Start())
	if err != nil {
		t.Fatal(err)
	}
	return s, g, r, stop
}

// TestVerifiedAhead: a reader in the second half of a segment has the next one compared with its digest meanwhile. That
// is no reading that keeps the file from becoming another segment.
func TestVerifiedAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, g, r, stop := behind(t, vfs.NewMem())
		defer r.Close()
		first := s.segs.size.Segno(g.Start())
		readTo(t, r, g.Start()+256<<10)
		synctest.Wait()
		if !verifiedAt(s, first+1).IsZero() {
			t.Error("verified ahead in the first half")
		}
		readTo(t, r, g.Start()+768<<10)
		synctest.Wait()
		if verifiedAt(s, first+1).IsZero() || !verifiedAt(s, first+2).IsZero() {
			t.Errorf("ahead: %v, and behind that %v", verifiedAt(s, first+1), verifiedAt(s, first+2))
		}
		s.segs.mu.Lock()
		if !s.segs.unread[segKey{1, first + 1}] || s.segs.unread[segKey{1, first}] {
			t.Errorf("unread: %v", s.segs.unread)
		}
		s.segs.mu.Unlock()
		readTo(t, r, g.Start()+1<<20+128<<10)
		time.Sleep(verifiedFor)
		readTo(t, r, g.Start()+1<<20+768<<10) // too slow: it would have to be compared again
		synctest.Wait()
		if !verifiedAt(s, first+2).IsZero() {
			t.Error("verified ahead of a slow reader")
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestDamageAhead: what is found damaged ahead is told by the reader that comes to it, and not before.
func TestDamageAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := vfs.NewMem()
		s, g, r, stop := behind(t, fsys)
		defer r.Close()
		next := g.Start() + 1<<20
		f, err := fsys.OpenWrite(s.segs.path(s.segs.name(segKey{1, s.segs.size.Segno(next)})))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte("damage"), 4096); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		readTo(t, r, next)
		synctest.Wait()
		if _, err := r.Next(g.End(), 128<<10); !errors.As(err, new(*DamagedError)) {
			t.Errorf("read %v", err)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}
