package operators

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// move is something that an operator does. It begins and ends with the cluster whole.
type move struct {
	name string
	do   func(t *testing.T, w *world)
}

var moves = []move{
	{"the primary dies", func(t *testing.T, w *world) { w.primary.Kill9(t); w.failover(t) }},
	{"switchover", func(t *testing.T, w *world) { w.primary.Stop(t, pgtest.Fast); w.failover(t) }},
	{"the primary restarts fast", func(t *testing.T, w *world) { w.primary.Restart(t) }},
	{"the primary restarts smart", smart},
	{"the primary crashes and comes back", func(t *testing.T, w *world) { w.primary.Kill9(t); w.primary.Start(t) }},
	{"the primary is reverted", revertPrimary},
	{"a standby is reverted", revertStandby},
	{"a standby is wiped", wipeStandby},
	{"a standby moves", moveStandby},
	{"a standby is renamed, and back", rename},
	{"slots are dropped by SQL", dropSlots},
	{"a standby's slot is dropped at the proxy", dropOwnSlot},
	{"the rule changes", changeRule},
	{"a proxy restarts", func(t *testing.T, w *world) { w.proxy().Restart(t) }},
	{"a proxy is killed", func(t *testing.T, w *world) { p := w.proxy(); p.Kill9(t); p.Start(t) }},
	{"a proxy's WAL is wiped", wipeStore},
	{"a proxy changes its release", upgrade},
}

func (w *world) proxy() *pgtest.Proxy { return w.Proxies[w.rng.IntN(len(w.Proxies))] }

// failover promotes a standby by the recipe, as the page prints it; the primary is down. It returns as a standby.
func (w *world) failover(t *testing.T) { t.Helper(); w.failoverMaking(t, false) }

// failoverMaking is failover; anew: the old primary is made anew in any case.
func (w *world) failoverMaking(t *testing.T, anew bool) {
	t.Helper()
	old := w.nameOf(w.primary)
	name, candidate := w.standby()
	var text string
	pgtest.WaitFor(t, 3*time.Minute, name+" to be promoted", func() (bool, error) {
		cmd, out := w.Begin(t, "promote.sh", nil, strconv.Itoa(w.timeline), w.names[name], candidate.Conninfo())
		err := cmd.Wait()
		text = out.String()
		return err == nil, nil
	})
	if candidate.Scalar(t, "SELECT pg_is_in_recovery()") != "f" {
		t.Fatalf("%s is no primary\n%s", name, text)
	}
	w.primary = candidate
	w.timeline++
	w.load.WaitProgress(t, 3)
	w.returns(t, old, anew)
}

// returns brings an old primary back as a standby: by pg_rewind, or made anew.
func (w *world) returns(t *testing.T, name string, anew bool) {
	t.Helper()
	s := w.servers[name]
	if anew || w.chance(3) {
		s.Remake(t, w.options(name))
	} else {
		w.primary.Exec(t, "CHECKPOINT") // pg_rewind reads the timeline in the control file
		w.In.RunTool(t, s.SocketDir, "pg_rewind", "--target-pgdata", s.Dir, "--source-server", w.primary.Conninfo(), "--no-sync")
		s.MakeStandby(t, w.options(name))
	}
	s.Start(t)
}

// revertPrimary puts the primary back to what it was before more was written and acknowledged, as a hypervisor or a
// storage failover does. The proxies refuse it (ruling R32), and the recipe promotes a standby, which has all of that.
// The release before takes a primary's WAL for what it was. It returns made anew: it wrote other WAL at the same positions
// of its timeline, which pg_rewind can't see.
func revertPrimary(t *testing.T, w *world) {
	w.present(t)
	w.primary.Stop(t, pgtest.Fast)
	revert := w.primary.Snapshot(t)
	w.primary.Start(t)
	w.load.WaitProgress(t, 20)
	w.whole(t)
	w.primary.Kill9(t)
	revert(t)
	w.primary.Start(t)
	for _, p := range w.Proxies {
		pgtest.WaitFor(t, time.Minute, p.Name+" to refuse the primary that has lost WAL", func() (bool, error) {
			l := scene.Status(t, p).Upstream.Lack
			return l != nil && l.Lost, nil
		})
	}
	w.primary.Stop(t, pgtest.Immediate)
	w.failoverMaking(t, true)
}

// present makes all proxies this code.
func (w *world) present(t *testing.T) {
	t.Helper()
	for i := range w.older {
		if w.older[i] {
			w.become(t, i, false)
		}
	}
}

// smart stops the primary when its clients have gone, as a smart stop waits for them, and for nothing of ours. The
// release before had a session of its own under a rule, for which it waits (ruling R38).
func smart(t *testing.T, w *world) {
	w.present(t)
	resume := w.load.Pause()
	defer resume()
	w.primary.Stop(t, pgtest.Smart)
	w.primary.Start(t)
}

// revertStandby takes a snapshot of a standby and puts it back when more was written, across a failover at times.
func revertStandby(t *testing.T, w *world) {
	name, s := w.standby()
	s.Stop(t, pgtest.Fast)
	revert := s.Snapshot(t)
	s.Start(t)
	w.load.WaitProgress(t, 20)
	w.whole(t)
	s.Stop(t, pgtest.Fast)
	revert(t)
	t.Logf("%s is as it was", name)
	s.Start(t)
}

func wipeStandby(t *testing.T, w *world) {
	name, s := w.standby()
	s.Kill9(t)
	w.load.WaitProgress(t, 5)
	s.Remake(t, w.options(name))
	s.Start(t)
}

// moveStandby lets a standby follow the other proxy.
func moveStandby(t *testing.T, w *world) {
	name, _ := w.standby()
	w.follows[name] = 1 - w.follows[name]
	w.follow(t, name)
}

// rename takes a standby out of the rule by its name, and back.
func rename(t *testing.T, w *world) {
	name, s := w.standby()
	for _, as := range []string{"renamed_" + name, name} {
		w.names[name] = as
		w.follow(t, name)
		pgtest.WaitFor(t, time.Minute, as+" to stream", func() (bool, error) {
			for _, row := range scene.Status(t, w.Proxies[w.follows[name]]).Standbys {
				if row.ApplicationName == as && row.State == "streaming" {
					return true, nil
				}
			}
			return false, nil
		})
		w.load.WaitProgress(t, 3)
	}
	pgtest.WaitCaughtUp(t, w.primary, s)
}

// dropSlots drops the slots that nobody uses on the primary, the proxies' own slots as well.
func dropSlots(t *testing.T, w *world) {
	w.primary.Exec(t, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active")
	w.load.WaitProgress(t, 10)
}

// dropOwnSlot drops a standby's slot while the standby is away; auto_create makes it anew.
func dropOwnSlot(t *testing.T, w *world) {
	name, s := w.standby()
	s.Stop(t, pgtest.Fast)
	p := w.Proxies[w.follows[name]]
	slot := w.options(name).SlotName
	pgtest.WaitFor(t, time.Minute, slot+" to be dropped", func() (bool, error) {
		_, err := pgtest.Query(t.Context(), p.Conninfo("replication=true"), "DROP_REPLICATION_SLOT "+slot)
		var refused *pgconn.PgError
		if errors.As(err, &refused) && refused.Code == string(pgerror.ObjectInUse) {
			return false, nil // a command that the standby had sent may begin after its end
		}
		return true, err
	})
	w.load.WaitProgress(t, 5)
	s.Start(t)
}

// changeRule gives both proxies another rule, one after the other.
func changeRule(t *testing.T, w *world) {
	rules := []string{
		"ANY 1 (s0, s1, s2, s3)", "ANY 2 (s0, s1, s2, s3)", "FIRST 1 (s3, s2, s1, s0)", "FIRST 2 (s0, s1, s2, s3)",
	}
	next := rules[w.rng.IntN(len(rules))]
	for i, p := range w.Proxies {
		w.configs[i] = strings.Replace(w.configs[i], scene.RuleFile(w.rule), scene.RuleFile(next), 1)
		p.Configure(t, w.configs[i])
		p.Signal(syscall.SIGHUP)
		pgtest.WaitFor(t, time.Minute, p.Name+" to have the rule", func() (bool, error) {
			return scene.Status(t, p).Quorum.Rule == next, nil
		})
		w.load.WaitProgress(t, 3)
	}
	w.rule = next
}

// wipeStore empties a proxy's WAL directory, or all of its data directory but who it is in the cluster.
func wipeStore(t *testing.T, w *world) {
	p := w.proxy()
	if code := p.Terminate(t); code != 0 {
		t.Errorf("%s ended with exit code %d", p.Name, code)
	}
	dir, keep := filepath.Join(p.DataDir, "wal"), ""
	if w.chance(2) {
		dir, keep = p.DataDir, "cluster"
	}
	t.Logf("%s is emptied", dir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != keep {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				t.Fatal(err)
			}
		}
	}
	p.Start(t)
}

// upgrade starts a proxy as the release before, or as this code again.
func upgrade(t *testing.T, w *world) {
	i := w.rng.IntN(len(w.Proxies))
	w.become(t, i, !w.older[i])
}

func (w *world) become(t *testing.T, proxy int, older bool) {
	t.Helper()
	binary := pgtest.Binary(t)
	if older {
		_, binary = pgtest.PreviousRelease(t)
	}
	w.older[proxy] = older
	w.Proxies[proxy].Become(t, binary)
}
