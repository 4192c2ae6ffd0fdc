package operators

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

const (
	// keepSize is wal.keep_size of the proxies and wal_keep_size of the servers, in segments of 16 MB.
	keepSize = 4
	// mostSegments bounds the segments of a proxy or a primary when all is well. Those are kept ones, spare ones,
	// those between two checkpoints, and those that the slowest standby of a story lacks.
	mostSegments = 40
)

var serverNames = []string{"s0", "s1", "s2", "s3"}

// world is a cluster of two proxies, the servers behind and in front of them, and a load.
type world struct {
	*scene.Recipe
	rng      *rand.Rand
	servers  map[string]*pgtest.Server
	names    map[string]string // application_name of each server, as the rule knows it or not
	follows  map[string]int    // number of the proxy that a server follows
	primary  *pgtest.Server
	timeline int
	rule     string
	load     *scene.Ledger
	configs  []string // of the proxies, without the rule
	older    []bool   // the proxy runs the release before
	told     []string // the moves so far
	counts   map[string]int
}

// newWorld starts a cluster with a rule in force, and its load.
func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	in := pgtest.Need(t, 15) // for pg_rewind
	w := &world{
		Recipe: scene.NewRecipe(t, in), rng: rand.New(rand.NewPCG(seed, 0)), servers: map[string]*pgtest.Server{},
		names: map[string]string{}, follows: map[string]int{}, timeline: 1, older: make([]bool, 2), counts: map[string]int{},
	}
	settings := pgtest.Settings(fmt.Sprintf("wal_keep_size = %dMB", keepSize*16), "wal_log_hints = on",
		"max_wal_size = 64MB", "min_wal_size = 32MB", "checkpoint_timeout = 30s", "max_slot_wal_keep_size = 512MB",
		"wal_retrieve_retry_interval = 500ms")
	w.primary = in.Primary(t, settings, pgtest.Name("s0"))
	all := []*pgtest.Server{w.primary}
	w.servers["s0"] = w.primary
	for _, name := range serverNames[1:] {
		s := in.Standby(t, pgtest.StandbyOptions{From: w.primary}, settings, pgtest.Name(name))
		w.servers[name] = s
		all = append(all, s)
	}
	for i, name := range serverNames {
		w.names[name], w.follows[name] = name, i%2
	}
	w.rule = "ANY 1 (s0, s1, s2, s3)"
	const common = "slots:\n  auto_create: true\nwal:\n  keep_size: 64MB\n"
	w.Proxies = scene.ClusterOf(t, scene.Hosts(all...), scene.RuleFile(w.rule)+common, "a", "b")
	for _, p := range w.Proxies {
		w.configs = append(w.configs, p.Config(t))
	}
	w.SSH(t)
	for _, name := range serverNames[1:] {
		w.follow(t, name)
	}
	scene.WaitSatisfiable(t, w.Proxies...)
	w.waitsFor(t)
	w.load = scene.StartLedger(t, w.primary, map[string]string{
		"through_a": w.Proxies[0].Conninfo(), "through_b": w.Proxies[1].Conninfo(),
	})
	return w
}

// waitsFor makes every server, as the primary that it is or may become, wait for one of the proxies.
func (w *world) waitsFor(t *testing.T) {
	t.Helper()
	for _, name := range serverNames {
		w.servers[name].Set(t, "synchronous_standby_names = 'ANY 1 (a, b)'")
		w.servers[name].Reload()
	}
}

// chance is true once in n times.
func (w *world) chance(n int) bool { return w.rng.IntN(n) == 0 }

// standby picks one of the standbys.
func (w *world) standby() (string, *pgtest.Server) {
	for {
		name := serverNames[w.rng.IntN(len(serverNames))]
		if w.servers[name] != w.primary {
			return name, w.servers[name]
		}
	}
}

func (w *world) nameOf(s *pgtest.Server) string {
	for name, x := range w.servers {
		if x == s {
			return name
		}
	}
	return ""
}

// options are those with which a server follows its proxy.
func (w *world) options(name string) pgtest.StandbyOptions {
	return pgtest.StandbyOptions{
		From:            w.primary,
		PrimaryConninfo: w.Proxies[w.follows[name]].Conninfo("application_name=" + w.names[name]),
		SlotName:        "slot_of_" + name,
	}
}

// follow lets a standby that runs follow its proxy.
func (w *world) follow(t *testing.T, name string) {
	t.Helper()
	o := w.options(name)
	w.servers[name].Set(t, "primary_conninfo = '"+o.PrimaryConninfo+"'", "primary_slot_name = '"+o.SlotName+"'")
	w.servers[name].Reload()
}

// whole waits until everybody is there again and commits go on through both proxies.
func (w *world) whole(t *testing.T) {
	t.Helper()
	for _, p := range w.Proxies {
		p.WaitReady(t)
	}
	pgtest.WaitFor(t, 2*time.Minute, "all standbys to stream", func() (bool, error) {
		streaming := 0
		for _, p := range w.Proxies {
			for _, row := range scene.Status(t, p).Standbys {
				if row.State == "streaming" {
					streaming++
				}
			}
		}
		return streaming == len(serverNames)-1, nil
	})
	scene.WaitSatisfiable(t, w.Proxies...)
	w.load.WaitProgress(t, 3)
	for _, name := range serverNames {
		if s := w.servers[name]; s != w.primary {
			pgtest.WaitCaughtUp(t, w.primary, s)
		}
	}
}

// bounded waits until no disk holds more than it may.
func (w *world) bounded(t *testing.T) {
	t.Helper()
	w.primary.Exec(t, "CHECKPOINT")
	dirs := map[string]string{"the primary": w.primary.WALDir()}
	for _, p := range w.Proxies {
		dirs[p.Name] = filepath.Join(p.DataDir, "wal")
	}
	for who, dir := range dirs {
		var n int
		pgtest.WaitFor(t, 2*time.Minute, fmt.Sprintf("%s to have at most %d segments", who, mostSegments), func() (bool, error) {
			n = segments(t, dir)
			return n <= mostSegments, nil
		})
	}
}

// segments counts the WAL segments of a folder.
func segments(t *testing.T, dir string) (n int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && len(filepath.Base(path)) == 24 {
			n++
		}
		return nil // files go while one looks
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// tell makes one move and asks what is asked after each.
func (w *world) tell(t *testing.T, m move) {
	t.Helper()
	w.counts[m.name]++
	w.told = append(w.told, m.name)
	t.Logf("%v %s; primary %s on timeline %d, rule %q", time.Now().UTC().Format(time.TimeOnly), m.name,
		w.nameOf(w.primary), w.timeline, w.rule)
	m.do(t, w)
	w.whole(t)
	w.bounded(t)
}

// end checks the state after a story.
func (w *world) end(t *testing.T) (acked int64) {
	t.Helper()
	acked = w.load.Stop()
	w.load.Verify(t, w.primary)
	for _, name := range serverNames {
		if s := w.servers[name]; s != w.primary {
			pgtest.WaitCaughtUp(t, w.primary, s)
			pgtest.EqualData(t, w.primary, s)
		}
	}
	if t.Failed() {
		t.Logf("the story: %s", strings.Join(w.told, ", "))
	}
	return acked
}
