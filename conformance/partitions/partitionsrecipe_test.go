package partitions

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// operator leaves a timeline by the recipe of docs/quorum.md and ADR 0022: fence, stop, prove, feed,
// promote. Whoever is away is out of its reach, though perhaps not of the others'.
type operator struct {
	w    *world
	old  lsn.TimelineID
	away map[string]bool
	// ends are final: of fenced proxies, as they answered, and of standbys that have no upstream any more.
	ends map[string]end
	fork lsn.LSN // where old begins
	how  []string
}

// end is the end of the WAL of a store or a standby. A standby's is that of its last whole record.
type end struct {
	tli lsn.TimelineID
	at  lsn.LSN
}

func (e end) String() string { return fmt.Sprintf("%v on %v", e.at, e.tli) }

var fencedLine = regexp.MustCompile(`is fenced up to timeline \d+; its store is durable up to (\S+) on timeline (\d+)`)

// fence fences every proxy within reach, and starts those that are down.
func (o *operator) fence(t *testing.T) {
	t.Helper()
	for _, p := range o.w.proxies {
		if _, done := o.ends[p.Name]; done || o.away[p.Name] {
			continue
		}
		if !p.Running() {
			p.StartNoWait(t)
		}
		var out []byte
		pgtest.WaitFor(t, time.Minute, p.Name+" to be fenced", func() (bool, error) {
			var err error
			out, err = exec.Command(pgtest.Binary(t), "fence", "--timeline", o.old.String(), "--data-dir", p.DataDir).Output()
			return err == nil, nil
		})
		m := fencedLine.FindSubmatch(out)
		if m == nil {
			t.Fatalf("fence %s: %q", p.Name, out)
		}
		at, err := lsn.Parse(string(m[1]))
		if err != nil {
			t.Fatal(err)
		}
		var tli lsn.TimelineID
		if _, err := fmt.Sscan(string(m[2]), &tli); err != nil {
			t.Fatal(err)
		}
		o.ends[p.Name] = end{tli, at}
	}
}

// stop stops every standby within reach, and starts it without an upstream, to see its end.
func (o *operator) stop(t *testing.T) {
	t.Helper()
	for _, s := range o.w.standbys {
		if _, done := o.ends[s.Name]; done || o.away[s.Name] || s.retired.Load() {
			continue
		}
		if s.Running() {
			s.Stop(t, pgtest.Fast)
		}
		s.Set(t, "primary_conninfo = ''")
		o.ends[s.Name] = o.endOf(t, s)
	}
}

// endOf starts a standby that has no upstream and reads how far its own WAL goes.
func (o *operator) endOf(t *testing.T, s *standbyHost) (e end) {
	t.Helper()
	o.w.start(t, s)
	s.WaitReady(t)
	const idle = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'startup' AND wait_event = 'RecoveryRetrieveRetryInterval'"
	pgtest.WaitFor(t, time.Minute, s.Name+" to replay all that it has", func() (bool, error) {
		return s.Scalar(t, idle) == "1", nil
	})
	if diverged(s) {
		return end{} // it took another way at the fork
	}
	e = end{tli: 1, at: s.ReplayLSN(t)}
	for tli := o.old; tli > 1; tli-- {
		if _, err := os.Stat(filepath.Join(s.WALDir(), tli.HistoryFileName())); err == nil && e.at >= o.fork {
			e.tli = tli
			break
		}
	}
	return e
}

// diverged: a standby that was out of reach may be beyond a fork, with what nobody acknowledged.
func diverged(s *standbyHost) bool {
	return strings.Contains(s.Log(), "forked off current database system timeline")
}

// proven: those whose end is not final can't satisfy the rule.
func (o *operator) proven() bool {
	unknown := 0
	for _, name := range o.w.law.names {
		if _, final := o.ends[name]; !final && !o.w.retired(name) {
			unknown++
		}
	}
	return unknown < need
}

// target is the highest end on the old timeline, at least that timeline's beginning, and who has it.
func (o *operator) target() (at lsn.LSN, who string) {
	at = o.fork
	for _, name := range slices.Concat(proxyNames, standbyNames) {
		if e, ok := o.ends[name]; ok && e.tli == o.old && (e.at > at || e.at == at && who == "") {
			at, who = e.at, name
		}
	}
	return at, who
}

// fed reports whether a standby has everything up to at on the old timeline.
func (o *operator) fed(s *standbyHost, at lsn.LSN) bool {
	e := o.ends[s.Name]
	return e.at >= at && e.tli == o.old
}

// feed brings the candidate up to the highest end. A log-in at a proxy needs a primary behind it
// (ruling R14), so it is one way of several; the store's files are always there.
func (o *operator) feed(t *testing.T, s *standbyHost) {
	t.Helper()
	at, who := o.target()
	if o.fed(s, at) {
		o.how = append(o.how, "has all")
		return
	}
	if slices.Contains(standbyNames, who) {
		o.cascade(t, s, o.w.standby(who), at)
		return
	}
	p := o.w.proxies[slices.Index(proxyNames, who)]
	if scene.Status(t, p).Store.Oldest > o.ends[s.Name].at { // files that do not join on would change nothing
		best := o.best()
		o.cascade(t, s, best, o.ends[best.Name].at)
	}
	o.copy(t, s, p)
}

// best is the standby that has most.
func (o *operator) best() *standbyHost {
	return slices.MaxFunc(o.candidates(), func(a, b *standbyHost) int {
		return cmp.Compare(o.ends[a.Name].at, o.ends[b.Name].at)
	})
}

// cascade lets the candidate follow another standby until it has replayed at.
func (o *operator) cascade(t *testing.T, s, from *standbyHost, at lsn.LSN) {
	t.Helper()
	o.how = append(o.how, "from a standby")
	o.w.heal(t) // or the operator would take the way by files
	s.Set(t, "primary_conninfo = '"+from.Conninfo()+"'")
	s.Reload()
	s.WaitReplay(t, at)
	s.Set(t, "primary_conninfo = ''")
	s.Reload()
	o.ends[s.Name] = end{o.old, at}
}

// copy gives the candidate the files of a proxy's store, from its own last segment on. They must join on to
// what it has: replay ends silently where a segment is missing.
func (o *operator) copy(t *testing.T, s *standbyHost, p *pgtest.Proxy) {
	t.Helper()
	o.how = append(o.how, "files of a store")
	s.Stop(t, pgtest.Fast)
	s.TakeWAL(t, filepath.Join(p.DataDir, "wal"), o.ends[s.Name].at)
	before := o.ends[s.Name]
	o.ends[s.Name] = o.endOf(t, s)
	if e := o.ends[s.Name]; e.at < before.at || e.tli != o.old {
		t.Fatalf("%s was at %v before and is at %v with the files of %s", s.Name, before, e, p.Name)
	}
}

// promote makes the candidate the primary of a new timeline.
func (o *operator) promote(t *testing.T, s *standbyHost) {
	t.Helper()
	s.Promote(t)
	o.w.primary = s.Server
	s.retired.Store(true)
	o.w.say(t, "promoted")
	name := s.Scalar(t, "SELECT pg_walfile_name(pg_current_wal_lsn())")
	if want := fmt.Sprintf("%08X", uint32(o.old+1)); !strings.HasPrefix(name, want) {
		t.Fatalf("%s is on the timeline of %s, want %s", s.Name, name, want)
	}
}

// followAll lets everybody follow the new primary. A proxy may remember a bound above what it reported
// (ADR 0031) and ask; the recipe has proved that nothing is lacking.
func (o *operator) followAll(t *testing.T) {
	t.Helper()
	for _, s := range o.w.standbys {
		if s.retired.Load() {
			continue
		}
		o.w.follow(t, s, o.w.shuffledProxies()...)
		if !s.Running() {
			o.w.start(t, s)
			continue
		}
		s.Reload()
	}
	for _, p := range o.w.proxies {
		if !p.Running() {
			p.StartNoWait(t)
		}
		asked := false
		pgtest.WaitFor(t, time.Minute, p.Name+" to follow the new primary", func() (bool, error) {
			if code, _, err := p.Get(t.Context(), "/healthz"); err != nil || code != 200 {
				return false, nil
			}
			st := scene.Status(t, p)
			if st.Upstream.Lack != nil && !asked {
				asked = true
				o.how = append(o.how, "accept-timeline")
				p.Program(t, "accept-timeline", fmt.Sprint(o.old+1), "--data-dir", p.DataDir)
			}
			return st.Store.Timeline == o.old+1, nil
		})
	}
}
