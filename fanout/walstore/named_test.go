package walstore

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
)

// unnamed returns ways to change a store's WAL directory after which an open file is not found by its name.
func unnamed(segment string) map[string]func(wal string) error {
	remove := func(name string) func(string) error {
		return func(wal string) error { return os.Remove(filepath.Join(wal, name)) }
	}
	replace := func(name string) func(string) error { // as sed -i and rsync do
		return func(wal string) error {
			path := filepath.Join(wal, name)
			b, err := os.ReadFile(path)
			return errors.Join(err, os.WriteFile(path+".new", b, 0o600), os.Rename(path+".new", path))
		}
	}
	away := func(put func(wal string) error) func(string) error {
		return func(wal string) error { return errors.Join(os.Rename(wal, wal+".away"), put(wal)) }
	}
	return map[string]func(wal string) error{
		"the segment is removed":  remove(segment),
		"the mark is removed":     remove(markName),
		"the segment is replaced": replace(segment),
		"the mark is replaced":    replace(markName),
		"all files are removed": func(wal string) error {
			names, err := filepath.Glob(filepath.Join(wal, "*"))
			for _, name := range names {
				err = errors.Join(err, os.Remove(name))
			}
			return err
		},
		"the directory is removed":    away(func(wal string) error { return os.RemoveAll(wal + ".away") }),
		"the directory is moved away": away(func(string) error { return nil }),
		"another directory is there":  away(func(wal string) error { return os.Mkdir(wal, 0o700) }),
		"a copy of it is there":       away(func(wal string) error { return os.CopyFS(wal, os.DirFS(wal+".away")) }),
		"a file is there":             away(func(wal string) error { return os.WriteFile(wal, nil, 0o600) }),
	}
}

// TestFlushedIsFoundByName: WAL in a file that its name does not lead to is gone at the next start, fsynced or not. So it
// is never published as flushed, and the store ends as with a broken disk.
func TestFlushedIsFoundByName(t *testing.T) {
	g := newGen()
	g.Record(20_000)
	first := g.End()
	g.Record(20_000)
	segment := testSeg.FileName(1, testSeg.Segno(first))
	for name, spoil := range unnamed(segment) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s, err := Open(t.Context(), Options{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			begin(t, s, g)
			all := g.Bytes(g.Start(), g.End())
			n := int(first - g.Start())
			if err := s.AppendFrom(t.Context(), g.Start(), bytes.NewReader(all[:n]), n); err != nil {
				t.Fatal(err)
			}
			drain(t, s)
			if err := spoil(filepath.Join(dir, walDirName)); err != nil {
				t.Fatal(err)
			}
			if err := s.AppendFrom(t.Context(), first, bytes.NewReader(all[n:]), len(all)-n); err != nil {
				t.Fatal(err)
			}
			if err := s.drain(); !errors.Is(err, vfs.ErrMoved) || errors.Is(err, errNoSpace) {
				t.Errorf("got %v", err)
			}
			if got := s.Positions().Flushed; got != first {
				t.Errorf("%s is flushed, it was %s by name", got, first)
			}
			_ = s.Close()
		})
	}
}

// TestIdleStoreLooksAtNames: that its files are gone is noticed without any WAL, too, before a commit has to wait.
func TestIdleStoreLooksAtNames(t *testing.T) {
	g := newGen()
	g.Record(20_000)
	for name, spoil := range unnamed(testSeg.FileName(1, testSeg.Segno(g.End()))) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s, err := Open(t.Context(), Options{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			begin(t, s, g)
			store(t, s, g, g.Start())
			ended := make(chan error, 1)
			go func() { ended <- s.Run(t.Context()) }()
			if err := spoil(filepath.Join(dir, walDirName)); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-ended:
				if !errors.Is(err, vfs.ErrMoved) || !errors.Is(err, ErrFailed) {
					t.Errorf("it ended with %v", err)
				}
			case <-time.After(30 * time.Second):
				t.Error("the store goes on")
			}
			_ = s.Close()
		})
	}
}

// TestSparesAreRemoved: spare segments are no WAL, and the store goes on without them.
func TestSparesAreRemoved(t *testing.T) {
	fsys := vfs.NewMem()
	s := openMem(t, fsys)
	g := newGen()
	for g.End() < g.Start()+2<<20 {
		g.Record(3000)
	}
	if err := s.Adopt(identityOf(g)); err != nil {
		t.Fatal(err)
	}
	if err := s.housekeepingStep(); err != nil {
		t.Fatal(err)
	}
	if s.segs.spareCount() == 0 {
		t.Fatal("there are none")
	}
	for _, name := range s.segs.spares {
		if err := fsys.Remove(s.segs.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	begin(t, s, g)
	for _, m := range g.Messages(g.Start(), nil) {
		appendMessage(t, s, m)
	}
	drain(t, s)
	readAll(t, s, g, 1, g.Start(), g.End())
}
