package walstore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
)

func TestSecondStoreIsRefused(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(context.Background(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(context.Background(), Options{Dir: dir})
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != os.Getpid() || !errors.Is(err, ErrLocked) {
		t.Fatalf("got %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err = Open(context.Background(), Options{Dir: dir})
	if err != nil {
		t.Fatalf("after Close: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatalf("second Close: %v", err)
	}
}

// The lock holds though its file is removed, and the file, which is all that release v0.1.0 looks at, is made anew.
func TestLockOutlivesItsFile(t *testing.T) {
	dir := t.TempDir()
	lock := filepath.Join(dir, "lock")
	s, err := Open(context.Background(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	if err := os.Remove(lock); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), Options{Dir: dir}); !errors.Is(err, ErrLocked) {
		t.Errorf("a second one: %v", err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-tick.C {
		if pid, err := os.ReadFile(lock); err == nil && string(pid) == strconv.Itoa(os.Getpid())+"\n" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the file is not made anew")
		}
	}
	var locked *LockedError
	if _, err := Open(context.Background(), Options{Dir: dir}); !errors.As(err, &locked) || locked.PID != os.Getpid() {
		t.Errorf("a second one: %v", err)
	}
	if err := os.Remove(lock); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(lock) // as v0.1.0 would
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, ErrLocked) {
		t.Errorf("the first one ended with %v", err)
	}
	stop()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// A data directory that its path does not name any more is not written to for long: the store ends, and leaves nothing
// in what is there now.
func TestDirIsMovedAway(t *testing.T) {
	for name, put := range map[string]func(dir string) error{
		"nothing":        func(string) error { return nil },
		"a new one":      func(dir string) error { return os.Mkdir(dir, 0o700) },
		"a copy":         func(dir string) error { return os.CopyFS(dir, os.DirFS(dir+".away")) },
		"a file":         func(dir string) error { return os.WriteFile(dir, nil, 0o600) },
		"another's name": func(dir string) error { return os.Symlink(dir+".none", dir) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			s, err := Open(t.Context(), Options{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- s.Run(t.Context()) }()
			if err := errors.Join(os.Rename(dir, dir+".away"), put(dir)); err != nil {
				t.Fatal(err)
			}
			before, _ := os.ReadDir(dir)
			select {
			case err := <-ended:
				if !errors.Is(err, vfs.ErrMoved) {
					t.Errorf("it ended with %v", err)
				}
			case <-time.After(30 * time.Second):
				t.Error("the store goes on")
			}
			if after, _ := os.ReadDir(dir); len(after) != len(before) {
				t.Errorf("left there: %v", after)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A data directory that is reached by a symbolic link is the one that the link leads to. A lock file that is a
// directory says nothing about who holds it.
func TestDirByLink(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("real", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "real"), 0o700); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "link", "lock")
	l, err := vfs.OS{}.Lock(name)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 2 {
		if err := l.Keep(); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(name, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), Options{Dir: filepath.Join(dir, "link")})
	if !errors.Is(err, ErrLocked) || strings.Contains(err.Error(), "pid") {
		t.Errorf("a second one: %v", err)
	}
}

func TestForeignDirIsRefused(t *testing.T) {
	cases := []struct{ file, text string }{
		{"PG_VERSION", "PostgreSQL server"},
		{"notes.txt", `found "notes.txt"`},
	}
	for _, c := range cases {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, c.file), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(context.Background(), Options{Dir: dir})
		if !errors.Is(err, ErrForeignDir) || !strings.Contains(err.Error(), c.text) {
			t.Fatalf("%s: %v", c.file, err)
		}
		names, _ := os.ReadDir(dir)
		if len(names) != 1 {
			t.Fatalf("a refused directory was changed: %v", names)
		}
	}
	if _, err := Open(context.Background(), Options{Dir: "/proc/self/none"}); err == nil {
		t.Fatal("opened a store in /proc")
	}
	if _, err := Open(context.Background(), Options{}); err == nil {
		t.Fatal("opened a store without a directory")
	}
	if _, err := Open(context.Background(), Options{Dir: t.TempDir(), TailSize: 1}); err == nil {
		t.Fatal("opened a store with a tail of one byte")
	}
}

// damage opens a store with five segments, flushed and sealed, lets spoil change its files, and
// opens it again.
func damage(t *testing.T, spoil func(m *vfs.Mem)) (*Store, lsn.LSN, error) {
	t.Helper()
	m := vfs.NewMem()
	s := openMem(t, m)
	g := newGen()
	for g.End() < g.Start()+9<<19 {
		g.Record(3000)
	}
	begin(t, s, g)
	store(t, s, g, g.Start())
	if err := s.housekeepingStep(); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	spoil(m)
	s, err := Open(context.Background(), Options{Dir: "/data", FS: m, KeepSize: 1 << 40})
	if err == nil {
		t.Cleanup(func() { _ = s.Close() })
	}
	return s, g.End(), err
}

func flip(m *vfs.Mem, name string, off int64) {
	f, err := m.OpenWrite("/data/" + name)
	if err != nil {
		panic(err)
	}
	var b [1]byte
	_, _ = f.ReadAt(b[:], off)
	b[0] ^= 0x40
	_, _ = f.WriteAt(b[:], off)
}

func TestDamageOfTheMarkIsReported(t *testing.T) {
	cases := []struct {
		name  string
		spoil func(m *vfs.Mem)
	}{
		{"both copies of the mark", func(m *vfs.Mem) { flip(m, "wal/mark", 20); flip(m, "wal/mark", copyStride+20) }},
		{"the mark is gone", func(m *vfs.Mem) { _ = m.Remove("/data/wal/mark") }},
		{"both copies of the meta file", func(m *vfs.Mem) { flip(m, metaName, 20); flip(m, metaName, copyStride+20) }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := damage(t, c.spoil)
			if !errors.Is(err, ErrDamaged) {
				t.Fatalf("got %v", err)
			}
			t.Log(err)
		})
	}
}

func TestOneTornCopyIsSurvived(t *testing.T) {
	for off := int64(0); off <= copyStride; off += copyStride {
		s, end, err := damage(t, func(m *vfs.Mem) { flip(m, "wal/mark", off+20); flip(m, metaName, off+20) })
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Positions().Received; got != end {
			t.Fatalf("recovered %s, want %s", got, end)
		}
	}
}

// TestDamagedSegmentIsNotServed: a sealed segment is verified before its first byte goes out, by its
// digest or, without one, by its records.
func TestDamagedSegmentIsNotServed(t *testing.T) {
	const seg = "wal/000000010000000000000003"
	cases := []struct {
		name  string
		spoil func(m *vfs.Mem)
		bad   bool
	}{
		{"nothing", func(*vfs.Mem) {}, false},
		{"a bit", func(m *vfs.Mem) { flip(m, seg, 500_000) }, true},
		{"a bit, no digest", func(m *vfs.Mem) { flip(m, seg, 500_000); _ = m.Remove("/data/" + seg + digestSuffix) }, true},
		{"a bit, torn digest", func(m *vfs.Mem) { flip(m, seg, 500_000); flip(m, seg+digestSuffix, 5) }, true},
		{"no digest", func(m *vfs.Mem) { _ = m.Remove("/data/" + seg + digestSuffix) }, false},
		{"another segment's digest", func(m *vfs.Mem) {
			_ = m.Rename("/data/wal/000000010000000000000002"+digestSuffix, "/data/"+seg+digestSuffix)
		}, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, _, err := damage(t, c.spoil)
			if err != nil {
				t.Fatal(err)
			}
			start := testSeg.Start(3)
			r, err := s.NewReader(1, start)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			_, err = r.Next(start+100, 1<<20)
			var damaged *DamagedError
			bad := errors.As(err, &damaged)
			if bad != c.bad || bad && !strings.HasPrefix(damaged.File, "000000010000000000000003") {
				t.Fatalf("got %v", err)
			}
			if err != nil && !c.bad {
				t.Fatal(err)
			}
			if err := s.housekeepingStep(); err != nil {
				t.Fatal(err)
			}
			if c.name == "no digest" { // it got one now
				if _, err := s.fs.Open("/data/" + seg + digestSuffix); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestSpareFilesAreNotKept: after a power loss a spare file may hold WAL of a history that was never followed. The
// power loss has taken back the name that the file had as a segment.
func TestSpareFilesAreNotKept(t *testing.T) {
	const spare = "/data/wal/spare.900"
	var disk *vfs.Mem
	_, _, err := damage(t, func(m *vfs.Mem) {
		disk = m
		if err := m.Rename("/data/wal/000000010000000000000002", spare); err != nil {
			t.Fatal(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := disk.Open(spare); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("got %v", err)
	}
}
