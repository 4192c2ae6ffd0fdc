package bench

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/internal/stamp"
)

// pagePath is the page that runs write themselves.
const pagePath = "../../docs/performance.md"

// pagePart is a part of the page that one run writes, with its picture.
type pagePart struct{ run, picture, about string }

// Parts of the page.
var (
	timelinePart = pagePart{"Timeline", "timeline.svg",
		"A commit's way through the proxy as a time line, for 1, 8 and 32 clients"}
	scalePart = pagePart{"Scale", "scale.svg", "Lag, CPU and memory by the number of standbys"}
)

func micros(d time.Duration) string {
	if us := float64(d) / 1e3; us < 9.95 {
		return fmt.Sprintf("%.1f", us)
	}
	return fmt.Sprintf("%.0f", float64(d)/1e3)
}

// row writes one line of a table.
func row(b *strings.Builder, cells ...string) {
	b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}

func heading(b *strings.Builder, cells ...string) {
	row(b, cells...)
	b.WriteString("|" + strings.Repeat("---|", len(cells)) + "\n")
}

// tables returns the tables of the page: the legs, what happened around them, the CPU.
func tables(lines []line) string {
	var b strings.Builder
	fmt.Fprintf(&b, "**Legs**, µs, p50 and p99 over all commits of a run (%s):\n\n", each(lines, func(l *line) string {
		return fmt.Sprintf("%d with clients: %d", l.commits, l.clients)
	}, ", "))
	head := []string{"leg"}
	for _, l := range lines {
		head = append(head, fmt.Sprintf("%d: p50", l.clients), "p99")
	}
	heading(&b, head...)
	for i, g := range legs {
		cells := []string{g.name}
		for _, l := range lines {
			cells = append(cells, micros(l.legs[i].p50), micros(l.legs[i].p99))
		}
		row(&b, cells...)
	}
	spans := func(name string, f func(*line) span) {
		cells := []string{name}
		for i := range lines {
			s := f(&lines[i])
			cells = append(cells, micros(s.p50), micros(s.p99))
		}
		row(&b, cells...)
	}
	spans("readable to the disk's end", func(l *line) span { return l.offsets[stamp.Flushed] })
	spans("readable to the first standby's reply", func(l *line) span { return l.offsets[stamp.Asked] })
	spans("readable to the last standby's write", func(l *line) span { return l.lastSent })
	client := func(s sample) span {
		const ms = float64(time.Millisecond)
		return span{time.Duration(s.p50 * ms), time.Duration(s.p99 * ms)}
	}
	spans("the client's whole transaction", func(l *line) span { return client(l.client) })
	spans("the same without stamps", func(l *line) span { return client(l.without) })

	b.WriteString("\n**Around them**, shares of the commits:\n\n")
	head = []string{""}
	for _, l := range lines {
		head = append(head, fmt.Sprint(l.clients))
	}
	heading(&b, head...)
	share := func(name string, f func(*line) float64) {
		row(&b, name, each(lines, func(l *line) string { return fmt.Sprintf("%.0f %%", 100*f(l)) }, " | "))
	}
	share("the disk was there after the standby", func(l *line) float64 { return l.diskLast })
	share("reported by the goroutine that wrote or synced", func(l *line) float64 { return l.by[stamp.ByStore] })
	share("reported by the one that read the reply", func(l *line) float64 { return l.by[stamp.ByReply] })
	share("reported by the reporter's own", func(l *line) float64 { return l.by[stamp.ByReporter] })
	tps := func(l *line) string { return fmt.Sprintf("%.0f", l.without.tps) }
	row(&b, "transactions per second", each(lines, tps, " | "))
	row(&b, "CPU of the proxy for each, µs", each(lines, func(l *line) string { return micros(l.cpu) }, " | "))
	for i := range lines {
		b.WriteString(lines[i].cpuTable())
	}
	return b.String()
}

// each joins the texts that f makes of every line.
func each(lines []line, f func(*line) string, between string) string {
	var all []string
	for i := range lines {
		all = append(all, f(&lines[i]))
	}
	return strings.Join(all, between)
}

// cpuTable returns a table of the CPU time of a transaction, by the kind of work.
func (l *line) cpuTable() string {
	var b strings.Builder
	of := func(d time.Duration) time.Duration {
		return time.Duration(float64(l.cpu) * float64(d) / float64(max(l.profile.total, 1)))
	}
	cell := func(d time.Duration) string {
		if d == 0 {
			return ""
		}
		return micros(of(d))
	}
	kinds := map[string]time.Duration{}
	whole := map[string]time.Duration{}
	for leg, row := range l.profile.cells {
		for kind, d := range row {
			kinds[kind] += d
			whole[leg] += d
		}
	}
	largest := func(m map[string]time.Duration) []string {
		return slices.SortedFunc(maps.Keys(m), func(a, b string) int {
			if m[a] == m[b] {
				return strings.Compare(a, b)
			}
			return int(m[b]/time.Microsecond - m[a]/time.Microsecond)
		})
	}
	fmt.Fprintf(&b, "\n**CPU of one transaction, clients: %d**, µs, by profile (%.1f s of samples):\n\n",
		l.clients, l.profile.total.Seconds())
	columns := largest(kinds)
	heading(&b, append([]string{"leg", "all"}, columns...)...)
	for _, leg := range largest(whole) {
		cells := []string{leg, cell(whole[leg])}
		for _, kind := range columns {
			cells = append(cells, cell(l.profile.cells[leg][kind]))
		}
		row(&b, cells...)
	}
	cells := []string{"all", micros(l.cpu)}
	for _, kind := range columns {
		cells = append(cells, cell(kinds[kind]))
	}
	row(&b, cells...)
	return b.String()
}

// publish writes a part of the page and its picture.
func publish(t testing.TB, part pagePart, tables, picture string) {
	page, err := os.ReadFile(pagePath)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- made by make bench RUN="+part.run+" -->\n", "<!-- end of "+part.run+" -->\n"
	before, rest, ok1 := strings.Cut(string(page), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no place for %s", filepath.Base(pagePath), part.run)
	}
	out, _ := exec.Command("git", "-c", "safe.directory=*", "describe", "--always", "--dirty=+").Output()
	commit := strings.TrimSpace(string(out))
	taken := fmt.Sprintf("Taken on %s, commit %s.\n\n", time.Now().UTC().Format(time.DateOnly), commit)
	image := fmt.Sprintf("![%s](%s)\n\n", part.about, part.picture)
	text := before + begin + "\n" + taken + image + tables + "\n" + end + after
	if err := os.WriteFile(pagePath, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(filepath.Dir(pagePath), part.picture)
	if err := os.WriteFile(path, []byte(picture), 0o644); err != nil {
		t.Fatal(err)
	}
}
