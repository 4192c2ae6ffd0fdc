package walstore

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
)

// TestVerifiedOncePerWhile: a segment that is opened again and again is hashed once, until verifiedFor
// has passed or the file was removed.
func TestVerifiedOncePerWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := vfs.NewFault(vfs.NewMem())
		s, first, end := bigStore(t, fsys)
		name := testSeg.FileName(1, testSeg.Segno(first))
		digests := 0 // the sidecar is read once per verification
		fsys.Set(func(op vfs.Op, path string) error {
			if op == vfs.OpOpen && strings.HasPrefix(filepath.Base(path), name+digestSuffix) {
				digests++
			}
			return nil
		})
		read := func() {
			t.Helper()
			r, err := s.NewReader(1, first)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.Next(end, 1<<20); err != nil {
				t.Fatal(err)
			}
			r.Close()
			s.segs.mu.Lock()
			s.segs.closeIdle(func(k segKey) bool { return k.segno != testSeg.Segno(first) })
			s.segs.mu.Unlock()
			if len(s.segs.open) != 0 {
				t.Fatalf("%d files are open", len(s.segs.open))
			}
		}
		for want := 1; want <= 2; want++ { // closeIdle as after a removal: no credit is left
			if read(); digests != want || len(s.segs.verified) != 0 {
				t.Fatalf("read %d: verified %d times, credit %v", want, digests, s.segs.verified)
			}
		}
		k := segKey{1, testSeg.Segno(first)}
		verify := func() {
			t.Helper()
			s.segs.mu.Lock()
			o, err := s.segs.acquire(k)
			s.segs.mu.Unlock()
			if err != nil {
				t.Fatal(err)
			}
			if err := s.verify(o); err != nil {
				t.Fatal(err)
			}
			s.segs.release(o)
			s.segs.mu.Lock()
			s.segs.idle = nil
			s.segs.forget(o)
			s.segs.mu.Unlock()
		}
		for range 16 {
			verify()
		}
		if digests != 3 {
			t.Fatalf("16 reopenings were verified %d times", digests-2)
		}
		time.Sleep(verifiedFor)
		verify()
		if digests != 4 {
			t.Fatalf("after %v: verified %d times", verifiedFor, digests-3)
		}
		// One that stays open, because somebody reads it slowly, is no exception.
		r, err := s.NewReader(1, first)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for want := 4; want < 7; want++ {
			for range 3 {
				if _, err := r.Next(end, 8192); err != nil {
					t.Fatal(err)
				}
			}
			if digests != want {
				t.Fatalf("verified %d times, want %d", digests, want)
			}
			time.Sleep(verifiedFor)
		}
		flip(fsys.FS.(*vfs.Mem), "wal/"+name, 200_000)
		if _, err := r.Next(end, 8192); !errors.Is(err, ErrDamaged) {
			t.Fatalf("what rotted while it was read: %v", err)
		}
	})
}
