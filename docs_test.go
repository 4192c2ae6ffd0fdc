package replproxy

import (
	"go/ast"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// alerts has rules for Prometheus.
const alerts = "packaging/alerts.yml"

// page is a document of the repository.
type page struct{ path, text string }

// pages are all documents, and the files that operators read as such.
func pages(t *testing.T) []page {
	t.Helper()
	all := []page{{path: "packaging/replproxy.service"}, {path: alerts}, {path: "packaging/prometheus.yml"}, {path: "cmd/replproxy/etc/replproxy.yml"}}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, ".md") {
			all = append(all, page{path: filepath.ToSlash(path)})
		}
		return nil
	})
	for i := range all {
		var content []byte
		if err == nil {
			content, err = os.ReadFile(all[i].path)
		}
		all[i].text = string(content)
	}
	if err != nil || len(all) < 20 {
		t.Fatalf("%d pages, %v: the walk is broken", len(all), err)
	}
	return all
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// history reports whether a page tells of days that are over: it may name things that are gone.
func history(p page) bool { return p.path == "docs/soak.md" || p.path == "docs/bench.md" }

var (
	linkPattern  = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	bookPattern  = regexp.MustCompile(`runbook_url: "\{\{ \$externalLabels\.docs_of_replproxy \}\}/([^"]+)"`)
	adrPattern   = regexp.MustCompile(`\bADR (\d{4})\b|docs/adr/(\d{4})\b`)
	testPattern  = regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark)[A-Z]\w*\b`)
	makePattern  = regexp.MustCompile("(?m)(?:`|^)make ([a-z][a-z-]*)")
	codePattern  = regexp.MustCompile("`([^`\n]+)`")
	metricFinder = regexp.MustCompile(`\breplproxy_[a-z]+(?:_[a-z]+)*_?\*?(?:\{[^}]*\})?`)
)

// TestLinks: a link leads to a file of the repository, and to a heading of it.
func TestLinks(t *testing.T) {
	adr, err := filepath.Glob("docs/adr/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pages(t) {
		for _, m := range linkPattern.FindAllStringSubmatch(p.text, -1) {
			file, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(file, "://") {
				continue
			}
			target := p.path
			if file != "" {
				target = filepath.Join(filepath.Dir(p.path), file)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: the link %s leads nowhere", p.path, m[1])
			} else if anchor != "" && !slices.Contains(anchors(read(t, target)), anchor) {
				t.Errorf("%s: %s has no heading %s", p.path, target, anchor)
			}
		}
		for _, m := range adrPattern.FindAllStringSubmatch(p.text, -1) {
			number := "docs/adr/" + m[1] + m[2]
			if !slices.ContainsFunc(adr, func(name string) bool { return strings.HasPrefix(filepath.ToSlash(name), number) }) {
				t.Errorf("%s: there is no %s", p.path, number)
			}
		}
	}
}

// TestAlerts: each rule names a section of the runbook that is there. (Metrics and labels: TestPagesNameWhatIs.)
func TestAlerts(t *testing.T) {
	text := read(t, alerts)
	scraped := regexp.MustCompile(`job_name: (\w+)`).FindStringSubmatch(read(t, "packaging/prometheus.yml"))
	for _, job := range regexp.MustCompile(`job="(\w+)"`).FindAllStringSubmatch(text, -1) {
		if scraped == nil || job[1] != scraped[1] {
			t.Errorf("alerts are about job %q, packaging/prometheus.yml scrapes %q", job[1], scraped)
		}
	}
	named := bookPattern.FindAllStringSubmatch(text, -1)
	if rules := strings.Count(text, "- alert: "); rules < 15 || len(named) != rules || strings.Count(text, "expr: ") != rules {
		t.Errorf("%d rules, %d name a section", rules, len(named))
	}
	for _, m := range named {
		file, anchor, _ := strings.Cut("docs/"+m[1], "#")
		if anchor != "" && !slices.Contains(anchors(read(t, file)), anchor) {
			t.Errorf("%s has no heading %s", file, anchor)
		}
	}
}

// anchors are the names that a page gives places, and those of its headings, as GitHub makes them.
func anchors(text string) (all []string) {
	for _, m := range idPattern.FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	for _, line := range strings.Split(text, "\n") {
		title := strings.TrimLeft(line, "#")
		if title == line {
			continue
		}
		all = append(all, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
				return r
			}
			return -1
		}, strings.ToLower(strings.TrimSpace(title))))
	}
	return all
}

// TestRooms: ARCHITECTURE.md says of every package what it is for, but for tests and their helpers.
func TestRooms(t *testing.T) {
	text := read(t, "ARCHITECTURE.md")
	for _, s := range sources(t) {
		helper := strings.HasSuffix(s.dir, "test") || strings.HasPrefix(s.dir, "conformance/")
		if filepath.Base(s.path) == "doc.go" && s.dir != "." && !helper && !strings.Contains(text, "`"+s.dir+"`") {
			t.Errorf("ARCHITECTURE.md has no %s", s.dir)
		}
	}
}

// TestPagesNameWhatIs: tests, make targets, files, keys of the configuration and metrics that a page names exist.
func TestPagesNameWhatIs(t *testing.T) {
	tests, files := map[string]bool{}, map[string]bool{}
	for _, s := range sources(t) {
		files[filepath.Base(s.path)] = true
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && s.test {
				tests[f.Name.Name] = true
			}
		}
	}
	makefile, known := read(t, "Makefile"), newNames(t)
	for _, p := range pages(t) {
		if history(p) {
			continue
		}
		for _, name := range testPattern.FindAllString(p.text, -1) {
			if !tests[name] {
				t.Errorf("%s: there is no %s", p.path, name)
			}
		}
		for _, m := range makePattern.FindAllStringSubmatch(p.text, -1) {
			if !regexp.MustCompile(`(?m)^` + m[1] + `:`).MatchString(makefile) {
				t.Errorf("%s: make has no target %s", p.path, m[1])
			}
		}
		for _, m := range codePattern.FindAllStringSubmatch(p.text, -1) {
			if bad := known.file(m[1], files); bad != "" {
				t.Errorf("%s: there is no file %s", p.path, bad)
			}
			if !known.key(m[1]) {
				t.Errorf("%s: %s is neither a key of the configuration nor a field of /status", p.path, m[1])
			}
		}
		for _, name := range metricFinder.FindAllString(p.text, -1) {
			if bad := known.metric(name); bad != "" {
				t.Errorf("%s: %s: %s", p.path, name, bad)
			}
		}
	}
}

// names has the names that pages may use.
type names struct {
	keys    map[string]bool            // auth.method
	fields  map[string]bool            // store.flushed_lsn, of /status
	metrics map[string]map[string]bool // labels as class="regular"
}

var (
	fieldRow  = regexp.MustCompile("^\\| `([a-z0-9_]+)` \\|")
	metricRow = regexp.MustCompile("(?m)^\\| `(replproxy_[a-z_]+)` \\| \\w+ \\| ([^|]*) \\|")
	keyLine   = regexp.MustCompile(`^( *)([a-z_]+):`)
	dotted    = regexp.MustCompile(`^([a-z_]+)\.([a-z_]+)$`)
)

func newNames(t *testing.T) names {
	t.Helper()
	n := names{keys: map[string]bool{}, fields: map[string]bool{}, metrics: map[string]map[string]bool{}}
	section := ""
	for _, line := range strings.Split(read(t, "cmd/replproxy/etc/replproxy.yml"), "\n") {
		if m := keyLine.FindStringSubmatch(line); m != nil && m[1] == "" {
			section = m[2]
		} else if m != nil {
			n.keys[section+"."+m[2]] = true
		}
	}
	section = ""
	for _, line := range strings.Split(read(t, "docs/status.md"), "\n") {
		if title, ok := strings.CutPrefix(line, "## "); ok {
			section = strings.Trim(title, "`")
		} else if m := fieldRow.FindStringSubmatch(line); m != nil {
			n.fields[section+"."+m[1]] = true
		}
	}
	for _, m := range metricRow.FindAllStringSubmatch(read(t, "docs/metrics.md"), -1) {
		labels := map[string]bool{}
		if label, values, ok := strings.Cut(strings.ReplaceAll(m[2], "`", ""), ": "); ok {
			for _, v := range strings.Split(values, ", ") {
				labels[label+`="`+v+`"`] = true
			}
		}
		n.metrics[m[1]] = labels
	}
	if len(n.keys) < 20 || len(n.fields) < 100 || len(n.metrics) < 40 {
		t.Fatalf("%d keys, %d fields, %d metrics: reading is broken", len(n.keys), len(n.fields), len(n.metrics))
	}
	return n
}

// file is the path in code that should be one of the repository and is not; "" if all is well.
func (n names) file(code string, base map[string]bool) string {
	word := strings.TrimSuffix(strings.Fields(code + " ")[0], ":")
	top, rest, nested := strings.Cut(word, "/")
	switch {
	case strings.ContainsAny(word, "<>*…%$"):
		return ""
	case strings.HasSuffix(word, ".go") && !nested && !base[word]:
		return word
	case !nested || rest == "" || top == "bin": // what is built may be there or not
		return ""
	}
	if d, err := os.Stat(top); err != nil || !d.IsDir() {
		return ""
	}
	if _, err := os.Stat(word); err != nil {
		return word
	}
	return ""
}

// notThere are keys that pages name in order to say that there is none.
var notThere = []string{"cluster.forget"}

// key reports whether code, if it looks like a key of a section of ours, is one.
func (n names) key(code string) bool {
	word := strings.TrimSuffix(strings.Fields(code + " ")[0], ":")
	m := dotted.FindStringSubmatch(word)
	if m == nil || n.keys[word] || n.fields[word] || slices.Contains(notThere, word) {
		return true
	}
	for key := range n.keys {
		if strings.HasPrefix(key, m[1]+".") {
			return strings.HasSuffix(word, ".md") || strings.HasSuffix(word, ".go")
		}
	}
	return true
}

// metric returns the fault of a name, which may end in * and have labels.
func (n names) metric(name string) string {
	name, labels, _ := strings.Cut(name, "{")
	if prefix, ok := strings.CutSuffix(name, "*"); ok {
		for known := range n.metrics {
			if strings.HasPrefix(known, prefix) {
				return ""
			}
		}
		return "no metric begins so"
	}
	known, ok := n.metrics[name]
	for _, part := range []string{"_bucket", "_sum", "_count"} { // of a histogram
		if base, cut := strings.CutSuffix(name, part); cut && !ok {
			known, ok = n.metrics[base]
		}
	}
	if !ok {
		return "no such metric"
	}
	for _, l := range strings.Split(strings.TrimSuffix(labels, "}"), ",") {
		label, values, _ := strings.Cut(strings.TrimSpace(l), "=")
		for _, v := range strings.Split(strings.Trim(values, `~"`), "|") {
			named := known[label+`="names of the rule and of lasting slots"`] // which a page can't list
			if label != "" && !named && !known[label+`="`+v+`"`] {
				return "it has no " + label + "=" + v
			}
		}
	}
	return ""
}
