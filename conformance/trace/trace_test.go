package trace_test

import (
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/trace"
)

// With -update (make traces) the answers in the trace files are recorded anew from the servers.
var update = flag.Bool("update", false, "record the traces from live servers")

func TestMain(m *testing.M) { pgtest.Main(m) }

// subjects are the trace files in the order in which they are played. In "lost" the primary forgets WAL that others
// need, and "limits" starts it anew. After "stop" there is no server any more; that of "starting" never has started,
// and that of "recovering" is a standby.
func subjects() []string {
	return []string{
		"startup", "commands", "messages", "slots", "stream", "timelines", "backup", "database", "lost", "limits",
		"stop", "starting", "recovering",
	}
}

func path(subject string) string { return filepath.Join("testdata", subject+".trace") }

// TestTraces plays all exchanges against PostgreSQL of every major, whose answers must be the recorded
// ones, and through the proxy, whose answers must be PostgreSQL's, known deviations apart.
func TestTraces(t *testing.T) {
	var files []*trace.File
	for _, name := range subjects() {
		f, err := trace.Read(path(name))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	if all, err := filepath.Glob(path("*")); err != nil || len(all) != len(files) {
		t.Fatalf("%v: %v, of which %v are played", err, all, subjects())
	}
	var mu sync.Mutex // guards the answers in files
	var versions []string
	t.Run("majors", func(t *testing.T) {
		pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
			t.Parallel()
			w := newWorld(t, in)
			deviations := trace.DeviationsOf(in.Major)
			messages := 0
			for i, f := range files {
				name := subjects()[i]
				w.prepare(t, name)
				t.Run(name, func(t *testing.T) { messages += check(t, w, in, name, f, &mu, deviations) })
			}
			mu.Lock()
			versions = append(versions, in.Version)
			mu.Unlock()
			t.Logf("%d exchanges, %d messages of PostgreSQL", exchanges(files), messages)
			for _, d := range deviations.Unmet() {
				t.Errorf("did not occur: %+v", d)
			}
		})
	})
	if !*update {
		return
	}
	if len(versions) != len(pgtest.Majors()) {
		t.Fatalf("nothing is recorded: only %v were played", versions)
	}
	slices.Sort(versions)
	for i, f := range files {
		f.Servers = versions
		if err := f.Write(path(subjects()[i])); err != nil {
			t.Fatal(err)
		}
	}
}

func exchanges(files []*trace.File) (n int) {
	for _, f := range files {
		n += len(f.Exchanges)
	}
	return n
}

// check plays the exchanges of one file against both, and returns how many lines PostgreSQL answered.
func check(
	t *testing.T, w *world, in *pgtest.Install, name string, f *trace.File, mu *sync.Mutex, known *trace.Deviations,
) (lines int) {
	direct, through := w.direct(), w.through(t)
	for _, e := range f.Exchanges {
		var got [][]string
		var err error
		if name == "stop" { // or there is no primary to connect through
			if got, err = through.Play(t.Context(), e); err != nil {
				t.Errorf("proxy: %v", err)
			}
			w.proxy.WaitExit(t)
		}
		want, err := direct.Play(t.Context(), e)
		if name == "stop" && f.Recorded(in.Version) && !*update {
			// The order in which a postmaster's children hear of the stop is chance: what was recorded counts.
			want, err = nil, nil
			for _, step := range e.Steps {
				want = append(want, step.Answers[in.Major])
			}
		}
		if err != nil {
			t.Errorf("PostgreSQL: %v", err)
		}
		for i, step := range e.Steps {
			lines += len(want[i])
			switch {
			case *update:
				mu.Lock()
				step.Answers[in.Major] = want[i]
				mu.Unlock()
			case f.Recorded(in.Version):
				if recorded := step.Answers[in.Major]; !same(recorded, want[i]) {
					t.Errorf("%s: %s\n%s", e.Name, step.Text, differ("recorded", recorded, "live", want[i]))
				}
			}
		}
		if got == nil {
			if got, err = through.Play(t.Context(), e); err != nil {
				t.Errorf("proxy: %v", err)
			}
		}
		want = known.Apply(name, e.Name, want)
		for i, step := range e.Steps {
			if !same(want[i], got[i]) {
				t.Errorf("%s: %s\n%s", e.Name, step.Text, differ("PostgreSQL", want[i], "proxy", got[i]))
			}
		}
	}
	return lines
}

// same compares answers. Whether WAL comes in one message or in two is chance: how much there was when the
// walsender looked.
func same(a, b []string) bool { return slices.Equal(joined(a), joined(b)) }

func joined(lines []string) (out []string) {
	for i, line := range lines {
		if i+1 < len(lines) && strings.HasPrefix(line, "d w ") && strings.HasPrefix(lines[i+1], "d w ") {
			continue
		}
		out = append(out, line)
	}
	return out
}

func differ(a string, left []string, b string, right []string) string {
	return fmt.Sprintf("%s:\n    %s\n%s:\n    %s", a, strings.Join(left, "\n    "), b, strings.Join(right, "\n    "))
}
