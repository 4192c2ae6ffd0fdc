package replproxy

import (
	"go/ast"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// narrow is a word that the glossary gives one meaning, or that was given up in one meaning only. It is looked for
// where that other meaning could come back.
type narrow struct {
	name string   // in the glossary's table "Given up in one meaning"
	word string   // a regular expression of whole words, in lower case; "": texts may have it
	say  string   // instead
	in   []string // the folders, with those below, and pages where it is looked for; none: everywhere
	but  []string // the folders and pages within where it has the meaning of the glossary, or is a thing of the text's own
	ids  string   // a regular expression of whole words, in lower case: identifiers are made of none of them; "": of any
}

// narrows lists them. Limits and slot are ordinary words in PostgreSQL's language as well: TestOneMeaning holds their types.
var narrows = []narrow{
	{name: "gate", word: "gates?|gated", say: "rule gate (a slot on the primary), or log-in gate", but: []string{
		"proxy/gate", "proxy/physical", "proxy/*", // whose gate is that of log-ins
	}},
	{name: "line", word: "lines?", say: "branch of WAL, history, fingerprint", in: []string{
		"cluster/compare", "cluster/ledger", "cluster/loss", "cluster/puller", "cluster/sim", "cluster/tail", "cluster/vote", "cluster/*",
		"fanout/walstore", "fanout/walsource", "fanout/walreceiver", "fanout/*", "docs/adr/0061-a-vote-is-for-a-history.md",
	}},
	{name: "mark", word: "(?:an?|the|its|no|each|this|that|whose|'s) marks?", say: "fingerprint; the mark is the store's durable position", in: []string{
		"cluster", "fanout/*", "fanout/acceptance", "fanout/backfill", "fanout/realslot", "fanout/slot", "fanout/walreceiver",
		"fanout/walsender", "grammar", "handshake", "proxy", "cmd", "docs/adr/0020-two-sessions-of-one-name.md",
		"docs/adr/0061-a-vote-is-for-a-history.md",
	}},
	{name: "mark", say: "fingerprint, position, prefix; the mark is the store's durable position", but: []string{
		"fanout/walstore", "internal/stamp", "conformance/bench", // the latter two time it
	}, ids: "marks?"},
	{name: "feed", word: "feeds?|fed|feeding|feeders?", say: "serve, send, hand over; a candidate for promotion is fed", but: []string{
		"cluster/tail", "cluster/sim", "cmd/replproxy/*", "cmd/replproxy/daemon", "conformance/failover", "conformance/pages", "conformance/partitions",
		"docs/failover.md", "docs/rulings.md",
		"docs/adr/0022-what-a-promotion-must-hold.md", "docs/adr/0033-the-own-store-proves.md",
		"docs/adr/0068-what-the-store-knows-of-its-wal.md", "docs/adr/0069-a-vote-names-its-bytes.md",
		"docs/adr/0088-owed-wal-has-a-name.md",
	}, ids: "feeds?|fed|feeding|feeders?"},
	{
		name: "slot", word: `(?:two|both|neither|valid|torn|older|same|one|each|its|other) slots?|slots? of the mark`,
		say: "copy (of what a file holds)",
		in:  []string{"fanout/walstore", "docs/walstore-format.md"}, ids: `\w+slots?|slots?[a-rt-z]\w*`, // but slot and slots
	},
	{name: "slot", word: `one-slot|one slot: \w+|slots? (?:and|that) gets|slot was full|look at its slot`, say: "token, room (of a channel)"},
	{name: "settle", word: "settled?|settles|settling", say: "done, mended, decided, sure; feedback is settled", but: []string{
		"fanout/*", "fanout/realslot", "fanout/slot", "fanout/walreceiver", "fanout/walsource", "conformance/slots", "proxy/config",
		"proxy/admin", "proxy/report", "cmd/replproxy/daemon",
	}, ids: "settled?|settles|settling"},
	{name: "settle", word: "unsettled", say: "not established", ids: "unsettled"},
	{name: "verdict", word: "verdicts?", say: "judgement; a verdict is of a candidate for promotion, or of a proxy", but: []string{
		"cluster/tail", "cmd/replproxy/show", "docs", "proxy/admin", "proxy/report", "proxy/admin/page/page.js",
		"proxy/admin/page/index.html", "cmd/replproxy/daemon", "conformance/scene", "conformance/quorum", "conformance/crash",
		"proxy/console",
	}, ids: "verdicts?"},
	{name: "account", word: "accounts?", say: "member status; an account is a user of the operating system", but: []string{
		"internal/child", "cmd/replproxy/demo", "conformance/pgtest", "conformance/partitions", // the last one's are a bank's
	}, ids: "accounts?"},
	{name: "let go", word: "let go", say: "released for the shutdown", in: []string{"fanout/walreceiver"}},
}

// ordinary are phrases in which a word of the table Given up, or of narrows, is plain English or somebody else's term.
// Whoever needs another one adds it here in full, where a reviewer sees it, or finds another word. A phrase that no
// text has any more has to go.
var ordinary = []string{
	// gate
	"rule gate", "rule gates", "log-in gate", "the rule is a gate for logical consumers", "gate is not supported any more",
	"kill9 gate chaos", "gate the primary killed", // a long run's name
	// line
	"one a line", "one line for", "line with its format", "line that names the format", "its first line", "further line", "takes this line",
	"one line of a history file", "verdict in a line", "has a line %q", "log line", "log lines",
	// mark
	"the mark was ahead of it",
	// feed, of a candidate
	"candidate that is attached here can then be fed",
	// settle
	"feedback that is not settled", "feedback.settle",
	// account
	"an account without privileges", "an account or a data directory", "take into account",
}

// said is a text that a reader sees, in lower case, without what stands in it as code. name: it is one word of the
// program's, such as a key, a field of /status or the name of a part.
type said struct {
	where, dir, text string
	name             bool
}

var (
	fence    = regexp.MustCompile("(?ms)^\\s*```.*?^\\s*```")
	linkEnd  = regexp.MustCompile(`\]\([^)]*\)`)
	keyValue = regexp.MustCompile(`(?m)^\s*#?\s*[a-z_]+:`)
	docTag   = regexp.MustCompile(`^json:.* doc:"([^"]*)"`)

	shellComment = regexp.MustCompile(`(?m)(?:^| |\t)##? (.*)$`)
)

// plain returns a text in one line and in lower case, without code and the targets of links.
func plain(text string) string {
	text = linkEnd.ReplaceAllString(codeSpan.ReplaceAllString(fence.ReplaceAllString(text, " "), " "), "]")
	return strings.Join(strings.Fields(strings.ToLower(text)), " ")
}

// saidTexts returns pages, comments, and the texts that the program says. Of those in tests only comments are read.
// What was written once, CHANGELOG.md and the list of soaks, is not.
func saidTexts(t *testing.T) (all []said) {
	t.Helper()
	for _, p := range pages(t) {
		if !slices.Contains(unread, p.path) && p.path != glossary {
			all = append(all, said{where: p.path, dir: p.path, text: plain(keyValue.ReplaceAllString(p.text, ""))})
		}
	}
	browser, err := filepath.Glob("proxy/admin/page/*.[hj]*") // HTML and JavaScript
	if err != nil || len(browser) < 2 {
		t.Fatalf("%d files of the page, %v", len(browser), err)
	}
	for _, path := range browser {
		all = append(all, said{where: path, dir: path, text: plain(read(t, path))})
	}
	scripts, err := filepath.Glob("scripts/*")
	if err != nil || len(scripts) < 5 {
		t.Fatalf("%d scripts, %v", len(scripts), err)
	}
	for _, path := range append(scripts, "Makefile") {
		for _, comment := range shellComment.FindAllStringSubmatch(read(t, path), -1) {
			all = append(all, said{where: path, dir: path, text: plain(comment[1])})
		}
	}
	for _, s := range sources(t) {
		if s.path == "words_test.go" || s.path == "prose_test.go" {
			continue
		}
		for _, g := range s.file.Comments {
			all = append(all, said{where: s.fset.Position(g.Pos()).String(), dir: s.dir, text: plain(g.Text())})
		}
		if s.test {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if _, imported := n.(*ast.ImportSpec); imported {
				return false
			}
			if x, ok := n.(*ast.BasicLit); ok && x.Kind == token.STRING {
				if text, err := strconv.Unquote(x.Value); err == nil {
					if doc := docTag.FindStringSubmatch(text); doc != nil {
						text = doc[1]
					}
					name := !strings.Contains(strings.TrimSpace(text), " ")
					all = append(all, said{s.fset.Position(x.Pos()).String(), s.dir, plain(text), name})
				}
			}
			return true
		})
	}
	return all
}

// within reports whether a folder or page is one of those, or below one. "a/*" is a alone.
func within(dir string, folders []string) bool {
	return slices.ContainsFunc(folders, func(f string) bool {
		alone, only := strings.CutSuffix(f, "/*")
		return dir == alone || !only && strings.HasPrefix(dir, f+"/")
	})
}

// find returns the words around the first use of a word in a text, but for uses that are ordinary.
func find(word *regexp.Regexp, text string, used map[string]bool) string {
	if !word.MatchString(text) {
		return ""
	}
	rest := text
	for _, phrase := range ordinary {
		if word.MatchString(phrase) {
			less := regexp.MustCompile(`\b`+regexp.QuoteMeta(phrase)+`\b`).ReplaceAllString(rest, "…")
			used[phrase] = used[phrase] || less != rest
			rest = less
		}
	}
	at := word.FindStringIndex(rest)
	if at == nil {
		return ""
	}
	return rest[max(0, at[0]-30):min(len(rest), at[1]+30)]
}

// TestProse: comments, pages and what the program says use no word that was given up, and those of one meaning in
// that. Ordinary uses are allowed by phrase (ordinary) or place (narrows).
func TestProse(t *testing.T) {
	rules, rows := slices.Clone(narrows), read(t, glossary)
	for _, r := range rules {
		if !strings.Contains(rows, "\n| "+r.name+" | ") {
			t.Errorf("%s has no %s", glossary, r.name)
		}
	}
	for word, say := range abandoned(t) {
		if word != "letgo" {
			rules = append(rules, narrow{word: word + "s?", say: say})
		}
	}
	texts, used := saidTexts(t), map[string]bool{}
	if len(texts) < 5000 {
		t.Fatalf("%d texts were read", len(texts))
	}
	for _, r := range rules {
		if r.word == "" {
			continue
		}
		word := regexp.MustCompile(`\b(?:` + r.word + `)\b`)
		for _, s := range texts {
			if s.name && r.name != "" || len(r.in) > 0 && !within(s.dir, r.in) || within(s.dir, r.but) {
				continue
			}
			if around := find(word, s.text, used); around != "" {
				t.Errorf("%s: %q: say %s", s.where, around, r.say)
			}
		}
	}
	for _, phrase := range ordinary {
		if !used[phrase] {
			t.Errorf("no text has %q: it need not be allowed", phrase)
		}
	}
}

// TestProseSees shows the test what it must find, and what not.
func TestProseSees(t *testing.T) {
	for text, bad := range map[string]bool{
		"It is at the gate.": true, "It is at the rule gate.": false, "The `gate` of `/status`": false, "see [x](gate.md)": false,
		"a\n```\ngate\n```\nb": false, "the rule gate and the\ngate": true, "slots.rule_gate": false,
	} {
		if got := find(regexp.MustCompile(`\bgates?\b`), plain(text), map[string]bool{}); (got != "") != bad {
			t.Errorf("%q: found %q", text, got)
		}
	}
	for dir, want := range map[string]bool{"proxy": true, "proxy/gate": false, "cluster": true, "cluster/sim": true} {
		if within(dir, []string{"proxy/*", "cluster"}) != want {
			t.Errorf("%s: %t", dir, !want)
		}
	}
}
