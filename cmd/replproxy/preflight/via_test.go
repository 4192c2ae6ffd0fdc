package preflight

import (
	"strings"
	"testing"
)

// TestNotAllNamed: the primary sees one member at a time, and must wait for whichever it is.
func TestNotAllNamed(t *testing.T) {
	for _, c := range []struct {
		setting string
		via     bool
		has     string // "" = nothing to say
	}{
		{"ANY 1 (proxy_a, proxy_b)", true, "does not name \"proxy-c\""},
		{"proxy_a", true, "proxy_b and \"proxy-c\""},
		{"PROXY_B", true, "proxy_a and \"proxy-c\""},
		{"proxy_a", false, ""},
		{`ANY 1 (proxy_a, proxy_b, "proxy-c")`, true, ""},
		{"*", true, ""},
		{"s1, s2", true, ""}, // of no concern here
		{"", true, ""},
	} {
		s, f := goodSetup(), goodFacts()
		s.ViaCluster, s.Members = c.via, []string{"proxy_a", "proxy_b", "proxy-c"}
		f.Settings["synchronous_standby_names"] = c.setting
		got := notAllNamed(s, f)
		if (got == "") != (c.has == "") || !strings.Contains(got, c.has) {
			t.Errorf("%q, via cluster %v: %q, want %q", c.setting, c.via, got, c.has)
		}
		if failed := !Passed(viaChecks(s, f)); failed != (c.has != "") {
			t.Errorf("%q, via cluster %v: check fails %v", c.setting, c.via, failed)
		}
	}
}

// TestNameAll: the remedy has the members' own names, without those that an operator has forgotten.
func TestNameAll(t *testing.T) {
	for _, c := range []struct {
		members, forgotten []string
		setting, want      string // "": nothing to say
	}{
		{[]string{"proxy_a", "proxy_b", "proxy-c"}, nil, "proxy_a", `as in ANY 1 (proxy_a, proxy_b, "proxy-c").`},
		{[]string{"proxy_a", "proxy_b", "proxy-c"}, []string{"proxy_b"}, "proxy_a", `as in ANY 1 (proxy_a, "proxy-c").`},
		{[]string{"north"}, nil, "north", "as in ANY 1 (proxy_a, north)."},
		{[]string{"proxy_a", "proxy_b"}, []string{"proxy_b"}, "proxy_a", ""},
	} {
		s, f := goodSetup(), goodFacts()
		s.ViaCluster, s.Members, s.Forgotten = true, c.members, c.forgotten
		f.Settings["synchronous_standby_names"] = c.setting
		got := strings.Join(Advise(s, f, nil), "|")
		if !strings.Contains(got, c.want) || c.want == "" && strings.Contains(got, "does not name") {
			t.Errorf("%v without %v: %q, want %q", c.members, c.forgotten, got, c.want)
		}
	}
}
