package crash

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// A proxy whose data_dir is empty, as where its volume is not mounted, does not begin a new store while its slot on
// the primary says that there was one. It ends with exit code 2, again and again, until the operator says that a new
// one is meant. A store whose wal directory alone is gone knows itself, and begins anew.
func TestNewStoreIsMeant(t *testing.T) {
	pgtest.ForSomeMajors(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		primary := in.Primary(t)
		p := pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: primary.Conninfo()})
		lose := func(name string) {
			t.Helper()
			if code := p.Terminate(t); code != 0 {
				t.Errorf("exit code %d", code)
			}
			if err := os.RemoveAll(filepath.Join(p.DataDir, name)); err != nil {
				t.Fatal(err)
			}
		}
		lose("")
		for range 2 { // what a refused start leaves does not make it a store
			p.StartNoWait(t)
			if code := p.WaitExit(t); code != 2 {
				t.Fatalf("exit code %d with an empty data_dir", code)
			}
		}
		for _, want := range []string{"replproxy_proxy", "--new-store", p.DataDir} {
			if !strings.Contains(p.Log(), want) {
				t.Errorf("the log does not name %s", want)
			}
		}
		if rows := primary.SQL(t, "SELECT count(*) FROM pg_replication_slots"); rows[0][0] != "1" {
			t.Errorf("%s slots", rows[0][0])
		}
		p.SetArgs("--new-store")
		p.Start(t)
		p.SetArgs()
		p.Restart(t)
		lose("wal")
		p.Start(t)
	}, 14, 18)
}

// A first start is one whenever it ends: the store is new until the slot is known not to be there, also after a start
// without a primary.
func TestFirstStartWithoutPrimary(t *testing.T) {
	t.Parallel()
	primary := pgtest.Usual(t).Primary(t)
	primary.Stop(t, pgtest.Fast)
	p := pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: primary.Conninfo(), NoWait: true})
	pgtest.WaitFor(t, time.Minute, "the proxy to have tried", func() (bool, error) {
		code, _, err := p.Get(t.Context(), "/healthz")
		return err == nil && code == 200 && scene.Status(t, p).Upstream.LastError != "", nil
	})
	p.Kill9(t)
	p.StartNoWait(t)
	primary.Start(t)
	p.WaitReady(t)
	p.Restart(t)
}

// A member of a cluster that has lost its promises does not come back under its name: without its key, with a new one,
// or without its memory. That holds after the others were restarted as well. Its own memory, brought back, is as good
// as before.
func TestNewStoreInCluster(t *testing.T) {
	t.Parallel()
	primary := pgtest.Usual(t).Primary(t)
	all := scene.ClusterOf(t, primary.Conninfo(), "", "a", "b")
	a, b := all[0], all[1]
	identity := func() string {
		t.Helper()
		return strings.TrimSpace(b.Program(t, "identity", "--name", b.Name, "--data-dir", b.DataDir))
	}
	refused := func(want string) {
		t.Helper()
		b.StartNoWait(t)
		if code := b.WaitExit(t); code != 2 || !strings.Contains(b.Log(), want) {
			t.Fatalf("exit code %d, expected %q\n%s", code, want, b.Log())
		}
	}
	old := identity()
	b.Terminate(t)
	a.Restart(t) // alone: it knows b by its file
	memory := filepath.Join(b.DataDir, "cluster", "node")
	if err := os.Rename(memory, memory+".away"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		refused("knows a proxy b")
	}
	if err := os.Rename(memory+".away", memory); err != nil {
		t.Fatal(err)
	}
	b.Start(t)
	pgtest.WaitFor(t, time.Minute, "b to know that it is not new", func() (bool, error) {
		_, err := os.Stat(filepath.Join(b.DataDir, "cluster", "unproven"))
		return os.IsNotExist(err), nil
	})
	b.Terminate(t)
	if err := os.RemoveAll(b.DataDir); err != nil {
		t.Fatal(err)
	}
	refused("has no key")
	if _, err := os.Stat(b.DataDir); err == nil {
		t.Error("the refused start has made data_dir")
	}
	line := identity()
	for _, p := range all {
		p.Replace(t, old, line)
	}
	a.Restart(t)
	refused("--new-store")
	b.SetArgs("--new-store")
	refused("A new store needs a new name")
}

// A member that has lost its memory has forgotten which WAL was given up, and a new one has never heard of it. Both serve
// no standby before another member has said it: they say for whom they wait, and relay SQL. An operator who has
// forgotten the others is not waited for.
func TestNewMemberServesNobodyUnheard(t *testing.T) {
	t.Parallel()
	primary := pgtest.Usual(t).Primary(t)
	all := scene.ClusterThat(t, pgtest.ProxyOptions{Upstream: primary.Conninfo()}, "upstream: {connect_wait: 1s}\n", "a", "b", "c")
	held := func(p *pgtest.Proxy, want string) {
		t.Helper()
		p.StartNoWait(t)
		pgtest.WaitFor(t, time.Minute, "what it waits for", func() (bool, error) {
			_, body, err := p.Get(t.Context(), "/readyz")
			return err == nil && strings.Contains(string(body), want), nil
		})
		conn := pgtest.Connect(t, p.Conninfo("replication=true"))
		for _, command := range []string{"IDENTIFY_SYSTEM", "START_REPLICATION 0/1000000"} {
			_, err := pgtest.QueryConn(t.Context(), conn, command)
			var refused *pgconn.PgError
			if !errors.As(err, &refused) || refused.Code != "57P03" || !strings.Contains(refused.Detail, want) {
				t.Errorf("%s: %v", command, err)
			}
		}
		if rows := p.SQL(t, "SELECT 1"); len(rows) != 1 {
			t.Errorf("%d rows through the relay", len(rows))
		}
		if s := scene.Status(t, p); !strings.Contains(s.HeldBack, want) || len(s.Warnings) == 0 {
			t.Errorf("%q, %q", s.HeldBack, s.Warnings)
		}
	}
	b := all[1]
	for _, p := range all {
		p.Terminate(t)
	}
	names, err := filepath.Glob(filepath.Join(b.DataDir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(names, filepath.Join(b.DataDir, "cluster", "node")) {
		if filepath.Base(name) == "cluster" {
			continue // it has the key
		}
		if err := os.RemoveAll(name); err != nil {
			t.Fatal(err)
		}
	}
	b.SetArgs("--new-store")
	held(b, "from a or c")
	all[0].Start(t)
	if code := b.WaitExit(t); code != 2 || !strings.Contains(b.Log(), "knows a proxy b") {
		t.Fatalf("exit code %d, a knows it\n%s", code, b.Log())
	}
	all[0].Terminate(t)
	held(b, "from a or c")
	b.Program(t, "forget", "a", "--data-dir", b.DataDir)
	b.Program(t, "forget", "c", "--data-dir", b.DataDir)
	b.WaitReady(t)
	if rows := scene.Command(t, b, "IDENTIFY_SYSTEM"); len(rows) != 1 {
		t.Errorf("%d rows", len(rows))
	}
}
