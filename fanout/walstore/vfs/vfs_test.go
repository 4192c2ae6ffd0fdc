package vfs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
)

// contract tests the promises of FS. It runs against each implementation.
func contract(t *testing.T, fsys FS, dir string) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	must(fsys.MkdirAll(at("a/b")))
	must(WriteFile(fsys, at("a/b/one"), []byte("first")))
	must(WriteFile(fsys, at("a/b/one"), []byte("second")))
	got, err := ReadFile(fsys, at("a/b/one"), 6)
	if err != nil || string(got) != "second" {
		t.Fatalf("ReadFile: %q, %v", got, err)
	}
	if _, err := ReadFile(fsys, at("a/b/one"), 5); err == nil {
		t.Fatal("ReadFile went beyond its limit")
	}
	if _, err := fsys.Open(at("a/none")); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("open of nothing: %v", err)
	}
	f, err := fsys.Create(at("a/two"))
	must(err)
	must(f.Allocate(10_000))
	_, err = f.WriteAt([]byte("xyz"), 9_000)
	must(err)
	must(f.Sync())
	b := make([]byte, 10_000)
	if n, err := f.ReadAt(b, 0); n != len(b) || string(b[9_000:9_003]) != "xyz" || b[0] != 0 {
		t.Fatalf("ReadAt: %d, %v", n, err)
	}
	if size, err := f.Size(); size != 10_000 || err != nil {
		t.Fatalf("Size: %d, %v", size, err)
	}
	must(f.Allocate(5)) // never shrinks
	if size, _ := f.Size(); size != 10_000 {
		t.Fatalf("Allocate made the file %d bytes long", size)
	}
	must(f.Close())
	must(fsys.Rename(at("a/two"), at("a/b/one")))
	names, err := fsys.ReadDir(at("a/b"))
	if must(err); !slices.Equal(names, []string{"one"}) {
		t.Fatalf("ReadDir: %v", names)
	}
	must(fsys.SyncDir(at("a")))
	f, err = fsys.Open(at("a/b/one"))
	must(err)
	must(fsys.Remove(at("a/b/one")))
	if n, _ := f.ReadAt(b[:3], 9_000); n != 3 || string(b[:3]) != "xyz" {
		t.Fatal("an open file lost its content with its name")
	}
	must(f.Close())
	l, err := fsys.Lock(at("lock"))
	must(err)
	var held *HeldError
	if _, err := fsys.Lock(at("lock")); !errors.As(err, &held) || !errors.Is(err, ErrHeld) || held.PID == 0 {
		t.Fatalf("second lock: %v", err)
	}
	must(l.Close())
	l, err = fsys.Lock(at("lock"))
	must(err)
	must(l.Close())
}

func TestContract(t *testing.T) {
	t.Run("os", func(t *testing.T) { contract(t, OS{}, t.TempDir()) })
	t.Run("mem", func(t *testing.T) { contract(t, NewMem(), "/data") })
	t.Run("fault", func(t *testing.T) { contract(t, NewFault(NewMem()), "/data") })
}

func write(t *testing.T, f File, off int64, b []byte) {
	t.Helper()
	if _, err := f.WriteAt(b, off); err != nil {
		t.Fatal(err)
	}
}

func TestCrashKeepsWhatWasSynced(t *testing.T) {
	survived := map[bool]int{}
	for seed := range uint64(200) {
		m := NewMem()
		f, _ := m.Create("/f")
		write(t, f, 0, bytes.Repeat([]byte{1}, 20_000))
		if err := errors.Join(f.Sync(), m.SyncDir("/")); err != nil {
			t.Fatal(err)
		}
		write(t, f, 4_000, bytes.Repeat([]byte{2}, 9_000))
		if _, err := m.Create("/g"); err != nil {
			t.Fatal(err)
		}
		after := m.Crash(rand.New(rand.NewPCG(seed, 0)))
		if _, err := f.ReadAt(make([]byte, 1), 0); err == nil {
			t.Fatal("a file outlived the crash")
		}
		b, err := ReadFile(after, "/f", 20_000)
		if err != nil || len(b) != 20_000 {
			t.Fatalf("seed %d: %d bytes, %v", seed, len(b), err)
		}
		for i, c := range b {
			old, torn := i < 4_000 || i >= 13_000, i%512 != 0 && i != 4_000 && i != 13_000 && c != b[i-1]
			if old && c != 1 || torn || c != 1 && c != 2 {
				t.Fatalf("seed %d: byte %d is %d", seed, i, c)
			}
		}
		_, err = after.Open("/g")
		survived[err == nil]++
	}
	if survived[true] == 0 || survived[false] == 0 {
		t.Fatalf("unsynced names have no dice: %v", survived)
	}
}

func TestCrashLosesUnsyncedRename(t *testing.T) {
	m := NewMem()
	if err := WriteFile(m, "/a", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	if err := m.Rename("/a", "/b"); err != nil {
		t.Fatal(err)
	}
	after := m.Crash(nil)
	if names, _ := after.ReadDir("/"); !slices.Equal(names, []string{"a"}) {
		t.Fatalf("names after the crash: %v", names)
	}
}

func TestKillKeepsWhatWasWritten(t *testing.T) {
	m := NewMem()
	f, _ := m.Create("/a")
	write(t, f, 0, []byte("written"))
	next := m.Kill()
	if b, err := ReadFile(next, "/a", 10); err != nil || string(b) != "written" {
		t.Fatalf("%q, %v", b, err)
	}
	if _, err := m.Create("/b"); err == nil {
		t.Fatal("a dead process made a file")
	}
}

func TestFaultHook(t *testing.T) {
	f := NewFault(NewMem())
	boom := errors.New("boom")
	var seen []string
	f.Set(func(op Op, name string) error {
		seen = append(seen, fmt.Sprint(op, " ", filepath.Base(name)))
		if op == OpSync {
			return boom
		}
		return nil
	})
	if err := WriteFile(f, "/x", []byte("y")); !errors.Is(err, boom) {
		t.Fatalf("WriteFile: %v", err)
	}
	if want := []string{"create x.tmp", "write x.tmp", "sync x.tmp", "remove x.tmp"}; !slices.Equal(seen, want) {
		t.Fatalf("calls: %v", seen)
	}
	f.Set(nil)
	if err := WriteFile(f, "/x", []byte("y")); err != nil {
		t.Fatal(err)
	}
	f.Set(func(op Op, _ string) error {
		if op == OpWrite || op == OpSync || op == OpRename {
			return ErrLie
		}
		return nil
	})
	if err := WriteFile(f, "/x", []byte("z")); err != nil {
		t.Fatal(err)
	}
	if b, err := ReadFile(f, "/x", 10); err != nil || string(b) != "y" {
		t.Fatalf("after lies: %q, %v", b, err)
	}
}
