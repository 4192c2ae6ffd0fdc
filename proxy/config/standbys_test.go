package config

import (
	"strings"
	"testing"
)

func TestStandbys(t *testing.T) {
	c, err := loadText(t, `standbys: {report_7: {send_when: received}, "report_*": {send_when: covered}, x: {}}`)
	if err != nil {
		t.Fatal(err)
	}
	for name, covered := range map[string]bool{
		"report_1": true, "REPORT_2": true, "report_": true, "report": false, "report_7": false, "a_report_1": false,
		"x": false, "": false,
	} {
		if c.Covered(name) != covered {
			t.Errorf("%s is covered: %v", name, !covered)
		}
	}
	want := "{report_7: {send_when: received}, report_*: {send_when: covered}, x: {send_when: received}}"
	if k, _ := keyByPath("standbys"); k.of(c).get() != want {
		t.Error(k.of(c).get())
	}
	if c.CoversAny() == nil {
		t.Error("no entry covers anybody")
	}
	if c, err = loadText(t, "standbys: {a: {send_when: received}}"); err != nil || c.CoversAny() != nil {
		t.Errorf("an entry covers somebody, or %v", err)
	}
}

func TestStandbyErrors(t *testing.T) {
	for entries, want := range map[string]string{
		"x":                         `expected names and settings, as in {"report_*": {send_when: covered}}`,
		"{a: covered}":              "expected settings, as in {send_when: covered}",
		"{a: {send_when: flushed}}": `send_when: "flushed" is not one of received, covered`,
		"{a: {send: covered}}":      `unknown key "send"; an entry has send_when`,
		"{a: {send_when: covered}, A: {send_when: received}}": `"A" is listed twice`,
		"{'a*': {send_when: covered}, 'ab*c': {}}":            `"ab*c" is never reached: "a*" before it has all its names`,
		"{'': {send_when: covered}}":                          "an empty name",
		"{a: {send_when: [covered]}}":                         "expected a single value",
		"{a: {send_when: covered, sync: 1}}":                  "an entry has send_when alone",
	} {
		_, err := loadText(t, "standbys: "+entries)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, expected %q", entries, err, want)
		}
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "", true}, {"*", "a/b c", true}, {"a*", "a", true}, {"a*", "b", false}, {"*a", "ba", true},
		{"a*a", "a", false}, {"a*a", "aa", true}, {"a*b*c", "a-b-c", true}, {"a*b*c", "a-c-b", false},
		{"a**b", "ab", true}, {"*b*", "abc", true}, {"*b*b*", "abc", false}, {"a.c", "abc", false}, {"[a]", "a", false},
	} {
		if got := matches(c.pattern, c.name); got != c.want {
			t.Errorf("%q has %q: %v", c.pattern, c.name, got)
		}
	}
}
