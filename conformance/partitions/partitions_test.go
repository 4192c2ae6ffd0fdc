package partitions

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// stormTime is the time for which faults come and go before each promotion of a story.
const stormTime = 4 * time.Second

// A bank pays while proxies and standbys are killed, stopped and cut off from each other. Then the primary dies, or
// lives on out of the operator's reach, and the recipe promotes a standby. Nothing that was acknowledged is lost, what
// was acknowledged at remote_apply was visible, and commits resume. One story in an ordinary run; `make soak` goes on
// with the next seeds.
func TestPartitions(t *testing.T) {
	t.Parallel()
	seed, began, paid, told := scene.FirstSeed(t), time.Now(), 0, map[string]int{}
	stories := uint64(0)
	for ; !t.Failed() && (stories == 0 || time.Since(began) < scene.SoakTime(t)); stories++ {
		t.Run(fmt.Sprint("seed-", seed+stories), func(t *testing.T) { paid += story(t, seed+stories, told) })
	}
	t.Logf("soak: %d stories from seed %d, %d transfers acknowledged, %s", stories, seed, paid, scene.Counts(told))
}

// story is one seed; it returns how many transfers were acknowledged, and tallies what happened.
func story(t *testing.T, seed uint64, told map[string]int) (paid int) {
	all := laws()
	w := newWorld(t, seed, all[int(seed-1)%len(all)])
	w.say(t, "seed %d: commits wait for %s, and that for %s", seed, w.law.primary, w.law.rule)
	promotions := 1 + w.rng.IntN(4)/3
	fork := lsn.LSN(0)
	var banks []*bank
	enough := true
	for tli := lsn.TimelineID(1); int(tli) <= promotions && enough; tli++ {
		b := w.open(t, tli, w.law.levels)
		banks = append(banks, b)
		b.waitProgress(t, 3)
		left := w.storm(t, stormTime)
		o := &operator{w: w, old: tli, away: map[string]bool{}, ends: map[string]end{}, fork: fork}
		w.failover(t, o, b, left)
		fork = w.fork(t, tli+1)
		for _, how := range o.how {
			told[how]++
		}
		for _, b := range banks {
			b.verify(t, w.primary)
		}
		enough = w.enough(t)
	}
	if enough {
		b := w.open(t, lsn.TimelineID(promotions+1), w.law.levels)
		b.waitProgress(t, 3) // by themselves
		w.say(t, "commits have resumed")
		b.close()
		banks = append(banks, b)
	} else { // nobody rewinds here; without enough that apply, remote_apply waits and keeps its locks
		told["too few left to go on"]++
		w.say(t, "too few standbys are left")
	}
	for _, server := range w.caughtUp(t) {
		for _, b := range banks {
			b.verify(t, server)
		}
	}
	w.say(t, "verified")
	for kind, n := range w.faults {
		told[kind] += n
	}
	for _, b := range banks {
		_, sum := b.counts()
		paid += sum
	}
	return paid
}

func (w *world) open(t *testing.T, tli lsn.TimelineID, levels []string) *bank {
	t.Helper()
	return openBank(t, w.primary, fmt.Sprint("t", tli), levels, w.seed, w.applied)
}

// failover ends the primary in one of four ways and promotes a standby, with some of the others out of the
// operator's reach. Clients go on with the old primary until long after that, where it lives.
func (w *world) failover(t *testing.T, o *operator, b *bank, left []affliction) {
	t.Helper()
	old, lives := w.primary, true
	switch way := w.rng.IntN(4); {
	case way == 0 && o.old == 1: // later there may be too few standbys to spare one
		left = w.mistake(t, b, left)
		lives = false
		o.how = append(o.how, "stale standby promoted by mistake")
	case way <= 1:
		old.Kill9(t)
		lives = false
		o.how = append(o.how, "primary killed")
	case way == 2:
		w.apart(t, old.Name, proxyNames[w.rng.IntN(len(proxyNames))])
		o.how = append(o.how, "primary cut off, also from a voter")
	default:
		o.how = append(o.how, "primary cut off, not from voters")
	}
	for _, name := range slices.Concat(proxyNames, standbyNames) {
		o.away[name] = w.rng.IntN(5) == 0
	}
	w.say(t, "%s fails (%s), away: %v", old.Name, o.how[0], names(o.away))
	left = o.reach(left)
	candidate := o.prepare(t, left)
	o.feed(t, candidate)
	w.say(t, "ends %v, %s is promoted, fed: %v", o.ends, candidate.Name, o.how[1:])
	o.promote(t, candidate)

	// Everything comes back while the old primary still takes commits.
	for _, a := range left {
		a.end()
	}
	w.heal(t)
	if lives {
		_, before := b.counts()
		<-time.After(time.Second)
		_, after := b.counts()
		w.say(t, "the old primary lives: %d transfers acknowledged before it is reached, %d after", before, after)
		old.Kill9(t)
	}
	b.close()
	b.verify(t, w.primary)
	o.followAll(t)
	w.say(t, "everybody follows")
}

// mistake kills the primary and promotes a standby that was cut off and lacks what was acknowledged since. No
// proxy follows it; then it is stopped.
func (w *world) mistake(t *testing.T, b *bank, left []affliction) []affliction {
	t.Helper()
	for _, a := range left {
		a.end()
	}
	w.heal(t)
	for _, p := range w.proxies {
		p.WaitReady(t)
	}
	scene.WaitSatisfiable(t, w.proxies...)
	stale := w.standbys[w.rng.IntN(len(w.standbys))]
	w.isolate(t, stale.Name)
	b.waitProgress(t, 3)
	w.primary.Kill9(t)
	stale.Promote(t)
	stale.retired.Store(true)
	w.say(t, "%s is promoted by mistake", stale.Name)
	w.heal(t)
	for _, p := range w.proxies {
		pgtest.WaitFor(t, time.Minute, p.Name+" to see what the new timeline lacks", func() (bool, error) {
			return scene.Status(t, p).Upstream.Lack != nil, nil
		})
		if got := scene.Status(t, p).Store.Timeline; got != 1 {
			t.Errorf("%s went to timeline %v", p.Name, got)
		}
	}
	stale.Kill9(t)
	return nil
}

func names(set map[string]bool) (all []string) {
	for _, name := range slices.Concat(proxyNames, standbyNames) {
		if set[name] {
			all = append(all, name)
		}
	}
	return all
}

// reach mends the processes of hosts within reach; the network stays as it is.
func (o *operator) reach(left []affliction) (rest []affliction) {
	for _, a := range left {
		if a.host != "" && !o.away[a.host] {
			a.end()
		} else {
			rest = append(rest, a)
		}
	}
	return rest
}

// prepare fences and stops until there is proof, and picks a candidate.
func (o *operator) prepare(t *testing.T, left []affliction) *standbyHost {
	t.Helper()
	for {
		o.fence(t)
		o.stop(t)
		if candidates := o.candidates(); o.proven() && len(candidates) > 0 {
			return candidates[o.w.rng.IntN(len(candidates))]
		}
		o.how = append(o.how, "not proven")
		away := names(o.away)
		if len(away) == 0 {
			t.Fatalf("everybody is reached and there is no proof, or no candidate: %v", o.ends)
		}
		name := away[o.w.rng.IntN(len(away))]
		o.away[name] = false
		o.w.say(t, "not proven: %s has to be reached", name)
		for _, a := range left {
			if a.host == name {
				a.end() // again at the end of it all, which does no harm
			}
		}
	}
}

// candidates are the standbys within reach whose history is the old timeline's.
func (o *operator) candidates() (all []*standbyHost) {
	for _, s := range o.w.standbys {
		if e, ok := o.ends[s.Name]; ok && (e.tli == o.old || e.tli > 0 && e.at <= o.fork) {
			all = append(all, s)
		}
	}
	return all
}

// fork is the beginning of a timeline.
func (w *world) fork(t *testing.T, tli lsn.TimelineID) lsn.LSN {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(w.primary.WALDir(), tli.HistoryFileName()))
	if err != nil {
		t.Fatal(err)
	}
	h, err := lsn.ParseHistory(tli, content)
	if err != nil {
		t.Fatal(err)
	}
	return h.Begin()
}

// enough reports whether the standbys that have the primary's history can satisfy every level of the law.
func (w *world) enough(t *testing.T) bool {
	t.Helper()
	if !slices.Contains(w.law.levels, "remote_apply") {
		return true // stores vote
	}
	n := 0
	for _, s := range w.caughtUp(t) {
		if s != w.primary && slices.Contains(w.law.names, s.Name) {
			n++
		}
	}
	return n >= need
}

// caughtUp waits for the standbys that have the primary's history, and returns them with the primary. One
// that was out of reach may be beyond the fork, with what nobody acknowledged: it needs a rewind.
func (w *world) caughtUp(t *testing.T) []*pgtest.Server {
	t.Helper()
	all := []*pgtest.Server{w.primary}
	at := w.primary.CurrentLSN(t)
	for _, s := range w.standbys {
		if s.retired.Load() || !s.Running() {
			continue
		}
		beyond := false
		pgtest.WaitFor(t, pgtest.ReplayTimeout, s.Name+" to catch up, or to be beyond the fork", func() (bool, error) {
			if beyond = diverged(s); beyond {
				return true, nil
			}
			rows, err := pgtest.Query(t.Context(), s.SocketConninfo(), "SELECT pg_last_wal_replay_lsn() >= '"+at.String()+"'")
			return err == nil && rows[0][0] == "t", nil
		})
		if !beyond {
			all = append(all, s.Server)
		}
	}
	return all
}
