package corpus_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/corpus"
	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

func TestEscape(t *testing.T) {
	for text, want := range map[string]string{
		"": "", " a b ": `\sa b\s`, "\n\t\r\f\v\\": `\n\t\r\f\v\\`, "\x00\x7f\xff": `\x00\x7f\xff`,
		"é\xc3": `é\xc3`, "�": "�", " ": `\s`,
	} {
		got := corpus.Escape(text)
		if got != want || strings.ContainsAny(got, "\n\r") {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
		if back, err := corpus.Unescape(got); err != nil || back != text {
			t.Errorf("%s: %q, %v", got, back, err)
		}
	}
	for _, bad := range []string{`\`, `\q`, `\x`, `\x1`, `\xgg`} {
		if got, err := corpus.Unescape(bad); err == nil {
			t.Errorf("%s: %q", bad, got)
		}
	}
}

func TestTexts(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("b.txt", "# comment\n\n\\sx\n")
	write("a.txt", "SHOW a\nSHOW b")
	write("golden.txt", "not a text\n")
	got, err := corpus.Texts(dir)
	if err != nil || !reflect.DeepEqual(got, []string{"SHOW a", "SHOW b", " x"}) {
		t.Errorf("%q, %v", got, err)
	}
	write("c.txt", "SHOW \\x61\n")
	if _, err := corpus.Texts(dir); err == nil || !strings.Contains(err.Error(), "a.txt:1") {
		t.Errorf("a repeated text: %v", err)
	}
}

func TestGolden(t *testing.T) {
	dir := t.TempDir()
	empty, err := corpus.ReadGolden(dir)
	if err != nil || len(empty) != 0 {
		t.Fatalf("%v, %v", empty, err)
	}
	g := corpus.Golden{}
	g.Set("a: b\n", 150018, "accepted")
	g.Set("a: b\n", 140023, "error 42601 x: y")
	g.Set("a: b\n", 160014, "accepted")
	g.Set("gone", 160014, "accepted")
	if err := g.Write(dir, []string{"a: b\n"}); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir, "golden.txt"))
	want := "a: b\\n\n\t140023: error 42601 x: y\n\t150018 160014: accepted\n"
	if err != nil || !strings.HasSuffix(string(content), "\n"+want) {
		t.Errorf("%q, %v", content, err)
	}
	delete(g, "gone")
	if back, err := corpus.ReadGolden(dir); err != nil || !reflect.DeepEqual(back, g) {
		t.Errorf("%v, %v", back, err)
	}
	if !g.Knows(140023) || g.Knows(170010) {
		t.Error("Knows is wrong")
	}
}

func TestOutcome(t *testing.T) {
	n := pgerror.Notice("42622", "cut\n")
	for want, got := range map[string]string{
		"accepted":                      corpus.Outcome(nil, nil),
		`notice 42622 cut\n | accepted`: corpus.Outcome([]*pgerror.Error{n}, nil),
		"error 42601 m DETAIL d HINT h": corpus.Outcome(nil, pgerror.New("42601", "m").WithDetail("d").WithHint("h")),
		"error 42601 syntax error":      corpus.Command(grammar.Dialect{Version: 150018}, "SHOW"),
		`error 42602 replication slot name "" is too short`: corpus.Command(grammar.Dialect{Version: 150018},
			`CREATE_REPLICATION_SLOT "" PHYSICAL`),
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	sql := corpus.Command(grammar.Dialect{Version: 150018, Database: true}, "select 1")
	if sql != corpus.Accepted || corpus.Rule("a,") == corpus.Accepted {
		t.Errorf("%s, %s", sql, corpus.Rule("a,"))
	}
}
