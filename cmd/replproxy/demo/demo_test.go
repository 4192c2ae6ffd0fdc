package demo

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func fakeBinaries(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, n := range names {
		if err := os.WriteFile(filepath.Join(dir, n), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFindBinaries(t *testing.T) {
	whole := fakeBinaries(t, needed...)
	if got, err := findBinaries(whole); err != nil || got != whole {
		t.Errorf("--bindir: %s, %v", got, err)
	}
	part := fakeBinaries(t, "initdb", "postgres")
	if _, err := findBinaries(part); err == nil || !strings.Contains(err.Error(), "has no pg_basebackup, pgbench") {
		t.Errorf("half a --bindir: %v", err)
	}
	t.Setenv("PATH", whole)
	if got, err := findBinaries(""); err != nil || got != whole {
		t.Errorf("PATH: %s, %v", got, err)
	}
	t.Setenv("PATH", part)
	if got, err := findBinaries(""); err == nil && got == part {
		t.Error("a directory without pgbench was taken from PATH")
	} else if err != nil && !errors.Is(err, ErrNoPostgreSQL) {
		t.Error(err)
	}
}

func TestVersionOf(t *testing.T) {
	for path, want := range map[string]int{
		"/usr/lib/postgresql/15/bin": 15, "/usr/lib/postgresql/9.6/bin": 9, "/usr/pgsql-17/bin": 17, "/usr/local/pgsql/bin": 0,
	} {
		if got := versionOf(path); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
}

func TestFreePorts(t *testing.T) {
	ports, err := freePorts(5)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, p := range ports {
		if p < 1024 || seen[p] {
			t.Errorf("ports %v", ports)
		}
		seen[p] = true
	}
}

func TestBenchLog(t *testing.T) {
	log := filepath.Join(t.TempDir(), "pgbench.log")
	if lastProgress(log) != "-" {
		t.Error("a log that does not exist says something")
	}
	text := "progress: 1.0 s, 300.4 tps, lat 1 ms\nprogress: 2.0 s, 412.9 tps, lat 1 ms stddev 0.1, 0 failed\n"
	if err := os.WriteFile(log, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if tps := lastProgress(log); tps != "412" {
		t.Errorf("%s tps", tps)
	}
}

// newDemo is a demo that runs small programs instead of PostgreSQL.
func newDemo(t *testing.T) *demo {
	t.Helper()
	d := &demo{o: Options{Out: &bytes.Buffer{}}, dir: t.TempDir(), bin: "/bin", starter: newStarter()}
	t.Cleanup(d.starter.close)
	return d
}

func TestProcessFailureShowsItsLog(t *testing.T) {
	d := newDemo(t)
	err := d.run(t.Context(), "talker", "/bin/sh", "-c", "echo what went wrong >&2; exit 3")
	if err == nil || !strings.Contains(err.Error(), "talker: exit status 3\n  what went wrong") {
		t.Errorf("got %v", err)
	}
	p, err := d.spawn("server", syscall.SIGTERM, "/bin/sh", "-c", "echo bad port; exit 1")
	if err != nil {
		t.Fatal(err)
	}
	err = await(t.Context(), time.Minute, p, func(context.Context) error { return errNotYet })
	if err == nil || !strings.Contains(err.Error(), "bad port") {
		t.Errorf("got %v", err)
	}
}

// TestCleanUpEndsWhatIgnoresSignals, and runs the removals last to first.
func TestCleanUpEndsWhatIgnoresSignals(t *testing.T) {
	d := newDemo(t)
	var order []string
	d.atEnd(func() error { order = append(order, "first"); return errors.New("kept") })
	p, err := d.spawn("sleeper", syscall.SIGTERM, "/bin/sh", "-c", "sleep 600")
	if err != nil {
		t.Fatal(err)
	}
	d.atEnd(func() error { order = append(order, "last"); return nil })
	if err := d.cleanUp(); err == nil || !strings.Contains(err.Error(), "kept") {
		t.Errorf("got %v", err)
	}
	if p.Alive() || strings.Join(order, " ") != "last first" {
		t.Errorf("ended %v, order %v", !p.Alive(), order)
	}
}

func TestStopEndsAStep(t *testing.T) {
	d := newDemo(t)
	stop := make(chan struct{})
	d.o.Stop = stop
	err := d.step(t.Context(), "wait", func(ctx context.Context) (string, error) {
		close(stop)
		<-ctx.Done()
		return "", ctx.Err()
	})
	if !errors.Is(err, context.Canceled) || !errors.Is(d.orStopped(t.Context(), err), ErrStopped) {
		t.Errorf("got %v", err)
	}
}

func TestCutNow(t *testing.T) {
	for _, c := range []struct {
		elapsed, length time.Duration
		want            bool
	}{
		{2 * time.Second, 10 * time.Second, false}, {4 * time.Second, 10 * time.Second, true},
		{8 * time.Second, 10 * time.Second, false}, {7 * time.Second, 20 * time.Second, true},
		{13 * time.Second, 20 * time.Second, false}, {3 * time.Second, 0, false}, {8 * time.Second, 0, true},
		{28 * time.Second, 0, true}, {35 * time.Second, 0, false},
	} {
		if got := cutNow(c.elapsed, c.length); got != c.want {
			t.Errorf("%v of %v: %v", c.elapsed, c.length, got)
		}
	}
}

// TestLookFindsWhatIsReleased: after the second look nothing may be committed while voters are cut off.
func TestLookFindsWhatIsReleased(t *testing.T) {
	var c cut
	for _, done := range []int{10, 12, 12} {
		if err := c.look(true, 3, done, time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.look(true, 3, 13, time.Second); !errors.Is(err, ErrReleased) {
		t.Errorf("got %v", err)
	}
	c.frozen = 12
	if err := c.look(false, 0, 12, 0); err != nil || c.resumed {
		t.Errorf("%v, resumed %v", err, c.resumed)
	}
	if err := c.look(false, 0, 20, 0); err != nil || !c.resumed || c.longest != time.Second {
		t.Errorf("%v, resumed %v, longest %v", err, c.resumed, c.longest)
	}
}
