package pages

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// fencedSoon bounds the time until a living proxy is fenced, whatever the others do.
const fencedSoon = 5 * time.Second

// waitedOnce bounds promote.sh with a frozen host among three: 11 s for its fence, 30 s to be fed, and some for ssh.
const waitedOnce = 60 * time.Second

// TestPromoteWithAFrozenHost promotes by promote.sh while the first proxy's host is frozen. The living ones are fenced
// at once, and the end of a standby that was made to leave takes the place of the other fence. Then the old primary
// returns.
func TestPromoteWithAFrozenHost(t *testing.T) {
	t.Parallel()
	e, page := newEstate(t, "ANY 2 (s1, s2, s3)", "proxy_a", "proxy_b", "proxy_c"), scene.OpenPage(t, "docs/failover.md")
	for _, name := range []string{"promote.sh", "leave.sh", "follow_again.sh"} {
		e.script(t, page, name)
	}
	load := e.startLoad(t)
	load.waitProgress(t, 30)
	frozen, db1, s2 := e.proxies[0], e.servers["db1"], e.servers["s2"]
	thaw := e.freeze(t, frozen.Name, frozen.Signal)
	load.waitProgress(t, 30)
	db1.Kill9(t)

	began, first := time.Now(), e.begin(t, "exec ./promote.sh 1 s2 '"+conninfo("s2")+"'")
	pgtest.WaitFor(t, fencedSoon, "the living proxy to be fenced", func() (bool, error) {
		return strings.Contains(first.said.String(), "proxy_b is fenced"), nil
	})
	pgtest.WaitFor(t, time.Minute, "the script to say whose ends are missing", func() (bool, error) {
		return strings.Contains(first.said.String(), "whose ends are not final"), nil
	})
	if err := first.cmd.Wait(); err == nil {
		t.Fatalf("s2 was promoted: %s", first.said)
	}
	took := time.Since(began)
	if t.Logf("not proven, after %v:\n%s", took, first.said); took > waitedOnce {
		t.Errorf("waited at more than one proxy for what waiting does not change")
	}
	if _, err := e.operate(t, page.Block(t, "--end s3=")); err != nil {
		t.Fatal(err)
	}
	load.waitProgress(t, 30)
	if s2.Scalar(t, "SELECT pg_is_in_recovery()") != "f" {
		t.Fatal("s2 is no primary")
	}
	load.verify(t, s2)

	// After the promotion.
	thaw()
	for _, p := range e.proxies {
		pgtest.WaitFor(t, time.Minute, p.Name+" to follow", func() (bool, error) {
			return scene.Status(t, p).Store.Timeline == 2, nil
		})
		p.Replace(t, "ANY 2 (s1, s2, s3)", "ANY 2 (db1, s1, s3)")
		p.Signal(syscall.SIGHUP)
	}
	onDB1 := func(block string) {
		t.Helper()
		if _, err := e.run(t, e.machines["db1"], false, block, "PGDATA="+db1.Dir); err != nil {
			t.Fatal(err)
		}
	}
	s2.Exec(t, "ALTER SYSTEM SET primary_slot_name = 's2'") // as one that had a slot
	onDB1(`touch "$PGDATA/standby.signal"`)                 // step 4 of the recipe for now
	onDB1(page.Block(t, "pg_rewind"))
	db1.Set(t) // its own files again
	onDB1(page.Block(t, "primary_slot_name = 'db1'"))
	db1.Start(t)
	e.counts(t, "db1", "s1", "s3")
	load.waitProgress(t, 30)
	pgtest.WaitFor(t, time.Minute, "db1 to have everything", func() (bool, error) {
		return db1.Scalar(t, "SELECT slot_name FROM pg_stat_wal_receiver WHERE received_tli = 2") == "db1", nil
	})
	load.stop()
	for _, name := range []string{"db1", "s1", "s3"} {
		pgtest.WaitCaughtUp(t, s2, e.servers[name])
		load.verify(t, e.servers[name])
	}
	for _, p := range e.proxies {
		listed(t, e.machines[p.Name])
	}
}

// TestPrePromoteAndFeed asks the hook for managers about a standby that lacks acknowledged WAL and can't log in any
// more. It asks while a proxy's host is frozen, while that one is down, before the standby is fed from files, and
// after.
func TestPrePromoteAndFeed(t *testing.T) {
	t.Parallel()
	e, page := newEstate(t, "ANY 1 (s2, s3)", "proxy_a", "proxy_b"), scene.OpenPage(t, "docs/failover.md")
	e.script(t, page, "pre_promote.sh")
	e.script(t, page, "feed_files.sh")
	load := e.startLoad(t)
	load.waitProgress(t, 30)
	db1, s1 := e.servers["db1"], e.servers["s1"]
	const before = "restore_command = 'false before'"
	s1.Exec(t, "ALTER SYSTEM SET "+before)
	s1.Stop(t, pgtest.Fast)
	load.waitProgress(t, 30)
	db1.Exec(t, "SELECT pg_switch_wal()")
	load.waitProgress(t, 30)
	db1.Stop(t, pgtest.Fast) // killed amid a record it would leave a position that no file leads to
	load.stop()
	thaw := e.freeze(t, e.proxies[0].Name, e.proxies[0].Signal)
	s1.Start(t)

	hook := "exec ./pre_promote.sh"
	env := []string{"CANDIDATE=s1", "PGHOST=" + s1.SocketDir, "PGUSER=postgres"}
	first := e.begin(t, hook, env...)
	pgtest.WaitFor(t, fencedSoon, "the living proxy to be fenced", func() (bool, error) {
		return strings.Contains(first.said.String(), "proxy_b is fenced"), nil
	})
	if err := first.cmd.Wait(); err == nil {
		t.Fatalf("with a proxy that is not fenced: %s", first.said)
	}
	thaw()
	if said, err := e.operate(t, hook, env...); err == nil || !strings.Contains(said, "s1: proven after it has been fed from") {
		t.Fatalf("before it is fed: %v", err)
	}
	at := scene.Status(t, e.proxies[1]).Store.Flushed.String()
	e.write(t, "proxy_a/down", "", 0o644)
	if said, err := e.operate(t, "timeout 8 ./feed_files.sh '"+conninfo("s1")+"' proxy_a "+at); err == nil {
		t.Fatalf("fed by a proxy that is down: %s", said)
	}
	if !s1.Running() || s1.Scalar(t, "SELECT pg_is_in_recovery()") != "t" {
		t.Fatal("a proxy that is down ended the candidate")
	}
	if _, err := e.operate(t, "./feed_files.sh '"+conninfo("s1")+"' proxy_b "+at); err != nil {
		t.Fatal(err)
	}
	if got := "restore_command = '" + s1.Scalar(t, "SHOW restore_command") + "'"; got != before {
		t.Errorf("the script leaves %s", got)
	}
	if _, err := e.operate(t, hook, env...); err != nil {
		t.Fatalf("after it was fed: %v", err)
	}
	s1.Promote(t)
	load.verify(t, s1)
	load.start(t)
	load.waitProgress(t, 30)
}

// TestPromoteFurthest promotes by positions alone while the old primary lives and one standby's host is frozen. Too
// few that left are refused, and follow again. Enough are not refused, and the old primary acknowledges nothing any
// more.
func TestPromoteFurthest(t *testing.T) {
	t.Parallel()
	e, page := newEstate(t, "ANY 2 (s1, s2, s3)", "proxy_a"), scene.OpenPage(t, "docs/failover.md")
	for _, name := range []string{"promote_furthest.sh", "follow_again.sh", "leave.sh"} {
		e.script(t, page, name)
	}
	load := e.startLoad(t)
	load.waitProgress(t, 30)
	db1, s3 := e.servers["db1"], e.servers["s3"]
	before := map[string]string{}
	for _, name := range []string{"s1", "s2", "s3"} {
		before[name] = e.servers[name].Scalar(t, "SHOW primary_conninfo")
	}
	for _, form := range []string{"", "postgresql://standby@proxy_a:6543/", "postgresql://standby@proxy_a:6543/?sslmode=prefer"} {
		if form != "" { // as a URI
			before["s1"] = form + map[bool]string{true: "&", false: "?"}[strings.Contains(form, "?")] + "application_name=s1"
			e.servers["s1"].Exec(t, "ALTER SYSTEM SET primary_conninfo = '"+before["s1"]+"'")
			e.servers["s1"].Reload()
			e.counts(t, "s1", "s2", "s3")
		}
		said, err := e.operate(t, "./promote_furthest.sh 2 '"+conninfo("s1")+"' host=nobody host=nobody")
		if err == nil || !strings.Contains(said, "only 1 of 3 standbys were heard") {
			t.Fatalf("one of three, which two others may have left behind: %v", err)
		}
		load.waitProgress(t, 30)
		if _, err := e.operate(t, "./follow_again.sh '"+conninfo("s1")+"'"); err != nil {
			t.Fatal(err)
		}
		if got := e.servers["s1"].Scalar(t, "SHOW primary_conninfo"); got != before["s1"] {
			t.Fatalf("primary_conninfo was %s and is %s", before["s1"], got)
		}
		e.counts(t, "s1", "s2", "s3")
	}
	thaw := e.freeze(t, "s3", func(sig syscall.Signal) { _ = syscall.Kill(s3.PID(), sig) })
	load.waitProgress(t, 30)
	said, err := e.operate(t, "./promote_furthest.sh 2 '"+conninfo("s1")+"' '"+conninfo("s2")+"' '"+conninfo("s3")+"'")
	if err != nil {
		t.Fatal(err)
	}
	promoted, other := e.servers["s1"], e.servers["s2"]
	if strings.Contains(said, "promoted: "+conninfo("s2")) {
		promoted, other = other, promoted
	}
	load.verify(t, promoted)
	thaw()
	db1.Kill9(t)
	if _, err := e.operate(t, "./follow_again.sh '"+conninfo(other.Name)+"' '"+conninfo("s3")+"'"); err != nil {
		t.Fatal(err)
	}
	e.counts(t, other.Name, "s3")
	for _, s := range []*pgtest.Server{other, s3} {
		if got := s.Scalar(t, "SHOW primary_conninfo"); got != before[s.Name] {
			t.Errorf("primary_conninfo of %s was %s and is %s", s.Name, before[s.Name], got)
		}
	}
	load.waitProgress(t, 30)
	load.verify(t, promoted)
}
