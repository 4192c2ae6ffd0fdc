package partitions

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// patient are settings with which no session ends because nothing is heard for a while.
func patient() []string {
	return []string{"wal_sender_timeout = 5min", "wal_receiver_timeout = 5min", "tcp_user_timeout = 0"}
}

// begin begins a commit at each level that the law can satisfy.
func (w *world) begin(t *testing.T) (all []*scene.Commit) {
	t.Helper()
	for _, level := range w.law.levels {
		all = append(all, w.clients().Begin(t, level))
	}
	return all
}

func (w *world) clients() *scene.QuorumSite {
	return &scene.QuorumSite{Site: &scene.Site{In: w.in, Primary: w.primary, Proxy: w.proxies[0]}}
}

// wait fails the test unless all of the commits wait, although every proxy has them and the WAL after them.
func (w *world) wait(t *testing.T, why string, all []*scene.Commit, proxies ...*pgtest.Proxy) {
	t.Helper()
	for range 3 { // a report that should not be made is made within the time of one that should
		w.primary.Exec(t, "SET synchronous_commit = local; INSERT INTO q VALUES (0)")
		at := w.primary.CurrentLSN(t)
		for _, p := range proxies {
			pgtest.WaitFor(t, time.Minute, p.Name+" to flush "+at.String(), func() (bool, error) {
				return scene.Status(t, p).Store.Flushed >= at, nil
			})
		}
	}
	for i, c := range all {
		if !w.clients().Waits(t, c) {
			t.Errorf("%s: the commit at %s was released", why, w.law.levels[i])
		}
	}
	w.say(t, "%s: commits wait", why)
}

func (w *world) released(t *testing.T, all []*scene.Commit) {
	t.Helper()
	for _, c := range all {
		c.Released(t)
	}
	w.say(t, "commits are released")
}

// replayed waits until n standbys have replayed up to at, which suffices for the rule. The others may not get it: TCP
// sends nothing new 200 ms after the first bytes that nobody acknowledges.
func (w *world) replayed(t *testing.T, at lsn.LSN, n int) {
	t.Helper()
	pgtest.WaitFor(t, pgtest.ReplayTimeout, fmt.Sprintf("%d standbys to replay %s", n, at), func() (bool, error) {
		have := 0
		for _, s := range w.standbys {
			if s.Replayed(t, at) {
				have++
			}
		}
		return have >= n, nil
	})
}

// While partitions leave no proxy that hears of enough voters, or none that the primary hears, commits
// wait; after the heal they are released by themselves.
func TestCommitsWaitOutPartitions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, laws()[0], patient()...)
	w.primary.Exec(t, "SET synchronous_commit = local; CREATE TABLE q (n int)")
	w.released(t, w.begin(t))

	// One direction: the standbys have the WAL, but nobody hears them say so.
	for _, s := range standbyNames {
		for _, p := range proxyNames {
			w.cut(t, s, p)
		}
	}
	deaf := w.begin(t)
	w.replayed(t, deaf[len(deaf)-1].At, 2)
	w.wait(t, "standbys that nobody hears", deaf, w.proxies...)
	w.heal(t)
	w.released(t, deaf)
	scene.WaitSatisfiable(t, w.proxies...)

	// Each proxy has one voter at most, and knows nothing of the others'.
	for i, p := range proxyNames {
		for j, s := range standbyNames {
			if i != j {
				w.apart(t, p, s)
			}
		}
		w.apart(t, p, proxyNames[(i+1)%len(proxyNames)])
	}
	alone := w.begin(t)
	w.wait(t, "proxies that are alone", alone, w.proxies...)
	w.heal(t)
	w.released(t, alone)
	scene.WaitSatisfiable(t, w.proxies...)

	// The quorum has it, all proxies know, and the primary does not hear them.
	for _, p := range proxyNames {
		w.cut(t, p, w.primary.Name)
	}
	unheard := w.begin(t)
	w.replayed(t, unheard[len(unheard)-1].At, 2)
	w.wait(t, "proxies that the primary does not hear", unheard)
	w.heal(t)
	w.released(t, unheard)
}

// The primary is dead, and two standbys lack what was acknowledged. One is still attached to a proxy, which
// goes on feeding it. The other has to log in anew, at another proxy, and under relay it cannot: there is no primary to
// ask (ruling R14). It is fed with the files of a fenced proxy's store, and promoted.
func TestCandidateLogsInAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, laws()[0], patient()...)
	attached, anew := w.standby("s3"), w.standby("s4")
	resume := scene.Pause(t, attached.Server)
	w.isolate(t, anew.Name)
	w.follow(t, anew, w.proxies[1])
	anew.Reload()
	pgtest.WaitFor(t, time.Minute, anew.Name+" to give up its session", func() (bool, error) {
		return anew.Scalar(t, "SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'") == "0", nil
	})
	b := w.open(t, 1, w.law.levels)
	b.waitProgress(t, 20)
	w.primary.Kill9(t)
	b.close()
	w.heal(t)

	o := &operator{w: w, old: 1, away: map[string]bool{}, ends: map[string]end{}}
	o.fence(t)
	at, who := o.target()
	w.say(t, "%s has most: %v", who, at)
	resume()
	pgtest.WaitFor(t, time.Minute, "the standby that is attached to receive it", func() (bool, error) {
		got, err := lsn.Parse(attached.Scalar(t, "SELECT coalesce(pg_last_wal_receive_lsn(), '0/0')"))
		return got >= o.ends[w.proxyOf(t, attached)].at, err
	})

	scene.Logged(t, anew.Name, anew.Log, "FATAL:  cannot connect to the primary")
	w.say(t, "%s: %s", anew.Name, lastWith(anew.Log(), "FATAL"))

	o.stop(t)
	if o.fed(anew, at) || !o.proven() {
		t.Fatalf("%s has all by itself, or there is no proof: %v", anew.Name, o.ends)
	}
	o.copy(t, anew, w.proxies[slices.Index(proxyNames, who)])
	o.promote(t, anew)
	o.followAll(t)
	w.resumed(t, b)
}

// proxyOf is the proxy that a standby is attached to.
func (w *world) proxyOf(t *testing.T, s *standbyHost) string {
	t.Helper()
	for _, p := range w.proxies {
		for _, row := range scene.Status(t, p).Standbys {
			if row.ApplicationName == s.Name {
				return p.Name
			}
		}
	}
	t.Fatalf("%s is attached nowhere", s.Name)
	return ""
}

func lastWith(log, word string) string {
	lines := strings.Split(log, "\n")
	for i, line := range slices.Backward(lines) {
		if strings.Contains(line, word) {
			return strings.Join(lines[i:min(i+4, len(lines))], " / ")
		}
	}
	return ""
}

// resumed: commits go on on the new primary by themselves, nothing of the banks before is lost, and whoever
// has the new history has it all.
func (w *world) resumed(t *testing.T, before ...*bank) {
	t.Helper()
	b := w.open(t, 9, w.law.levels)
	b.waitProgress(t, 3)
	b.close()
	for _, server := range w.caughtUp(t) {
		for _, b := range append(before, b) {
			b.verify(t, server)
		}
	}
}

// Somebody promotes a standby that was cut off and lacks most of what was acknowledged. No proxy follows
// it, so it acknowledges nothing and nothing is destroyed; the recipe then promotes another one. One of the proxies was
// away meanwhile: it reported none of it, and has none of it, and learns of it from the others.
func TestStalePromotedByMistake(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, laws()[0])
	stale := w.standby("s4")
	away := w.proxies[2]
	away.Kill9(t)
	w.isolate(t, stale.Name)
	b := w.open(t, 1, w.law.levels)
	b.waitProgress(t, 20)
	w.primary.Kill9(t)
	b.close()
	stale.Promote(t)
	away.StartNoWait(t)
	right := w.primary
	w.primary = stale.Server
	w.primary.Exec(t, "SET synchronous_commit = local; CREATE TABLE q (n int)")
	c := w.begin(t)
	w.heal(t)
	pgtest.WaitFor(t, time.Minute, away.Name+" to run", func() (bool, error) {
		code, _, err := away.Get(t.Context(), "/healthz")
		return err == nil && code == http.StatusOK, nil
	})
	for _, p := range w.proxies {
		pgtest.WaitFor(t, time.Minute, p.Name+" to see what the new timeline lacks", func() (bool, error) {
			return scene.Status(t, p).Upstream.Lack != nil, nil
		})
		st := scene.Status(t, p)
		if l := st.Upstream.Lack; l.Timeline != 2 || st.Store.Timeline != 1 {
			t.Errorf("%s is on timeline %v and says of the new one: %+v", p.Name, st.Store.Timeline, *l)
		}
		w.say(t, "%s: %s", p.Name, fmt.Sprint(st.Upstream.LastError))
	}
	w.wait(t, "no proxy follows", c)

	// The mistake is noticed.
	stale.retired.Store(true)
	stale.Kill9(t)
	w.primary = right
	o := &operator{w: w, old: 1, away: map[string]bool{}, ends: map[string]end{}}
	candidate := o.prepare(t, nil)
	o.feed(t, candidate)
	o.promote(t, candidate)
	o.followAll(t)
	w.resumed(t, b)
}

// The proof can fail: with the fence left out, the old primary goes on with voters that do not know, and
// what it acknowledges after the promotion is lost.
func TestWithoutFenceCommitsAreLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, laws()[2])
	b := w.open(t, 1, w.law.levels)
	b.waitProgress(t, 3)
	o := &operator{w: w, old: 1, away: map[string]bool{}, ends: map[string]end{}}
	o.stop(t)
	old, candidate := w.primary, o.best()
	o.promote(t, candidate)
	b.waitProgress(t, 3)
	old.Kill9(t)
	b.close()
	for _, teller := range b.tellers {
		if len(teller.lost(t, candidate.Server)) == 0 {
			t.Errorf("nothing of %s is lost on %s, although nobody was fenced", teller.name, candidate.Name)
		}
	}
}
