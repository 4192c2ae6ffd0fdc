package pgtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// WALDir returns a server's folder of segments.
func (s *Server) WALDir() string { return filepath.Join(s.Dir, "pg_wal") }

// SegSize asks a server for its wal_segment_size.
func (s *Server) SegSize(t testing.TB) lsn.SegSize {
	t.Helper()
	size, err := lsn.ParseSegSize(s.Scalar(t, "SHOW wal_segment_size"))
	if err != nil {
		t.Fatalf("%s: %v", s.Name, err)
	}
	return size
}

// EqualSegments compares, byte for byte, the segment files that both folders have, up to the position
// upTo; what lies beyond it, in recycled files above all, is nobody's. It fails the test for each file
// that differs or is short, and returns how many files it compared. A file that is removed meanwhile,
// by a checkpoint, is passed over.
func EqualSegments(t testing.TB, size lsn.SegSize, upTo lsn.LSN, a, b string) int {
	t.Helper()
	entries, err := os.ReadDir(a)
	if err != nil {
		t.Fatalf("list segments: %v", err)
	}
	compared := 0
	for _, e := range entries {
		_, segno, ok := size.ParseFileName(e.Name())
		start := size.Start(segno)
		if !ok || start >= upTo {
			continue
		}
		want := min(int64(size), int64(upTo-start))
		at, err := firstDifference(filepath.Join(a, e.Name()), filepath.Join(b, e.Name()), want)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			t.Errorf("compare segment %s of %s and %s: %v", e.Name(), a, b, err)
		case at < want:
			t.Errorf("segment %s differs between %s and %s at %v (of %v)", e.Name(), a, b, start+lsn.LSN(at), upTo)
		}
		compared++
	}
	return compared
}

// firstDifference returns the offset of the first byte that differs among the first n of two files; n
// when there is none.
func firstDifference(a, b string, n int64) (int64, error) {
	fa, err := os.Open(a)
	if err != nil {
		return 0, err
	}
	defer fa.Close()
	fb, err := os.Open(b)
	if err != nil {
		return 0, err
	}
	defer fb.Close()
	const block = 1 << 16
	ba, bb := make([]byte, block), make([]byte, block)
	for at := int64(0); at < n; {
		want := min(n-at, block)
		if _, err := io.ReadFull(fa, ba[:want]); err != nil {
			return at, fmt.Errorf("read %s at %d: %w", a, at, err)
		}
		if _, err := io.ReadFull(fb, bb[:want]); err != nil {
			return at, fmt.Errorf("read %s at %d: %w", b, at, err)
		}
		if !bytes.Equal(ba[:want], bb[:want]) {
			for i := range ba[:want] {
				if ba[i] != bb[i] {
					return at + int64(i), nil
				}
			}
		}
		at += want
	}
	return n, nil
}

// TakeWAL gives a stopped server the segments of another folder, from the one that holds since on, and the timelines'
// histories. They replace its own, as when an operator copies them by scp. The folder must have at least as much of
// each as the server.
func (s *Server) TakeWAL(t testing.TB, dir string, since lsn.LSN) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatalf("list WAL: %v", err)
	}
	size := lsn.SegSize(lsn.DefaultSegSize)
	joins := func(e os.DirEntry) bool {
		_, segno, ok := size.ParseFileName(e.Name())
		return ok && segno == size.Segno(since)
	}
	if !slices.ContainsFunc(entries, joins) {
		t.Fatalf("%s has no segment that holds %v", dir, since)
	}
	for _, e := range entries {
		_, segno, segment := size.ParseFileName(e.Name())
		if !strings.HasSuffix(e.Name(), ".history") && (!segment || size.Start(segno)+lsn.LSN(size) <= since) {
			continue
		}
		to := filepath.Join(s.WALDir(), e.Name())
		if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("take WAL: %v", err)
		}
		if err := copyFile(filepath.Join(dir, e.Name()), to, s.Install.who); err != nil {
			t.Fatalf("take WAL: %v", err)
		}
	}
}
