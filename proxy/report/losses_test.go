package report

import (
	"strings"
	"testing"

	"github.com/replproxy/replproxy/cluster/loss"
	"github.com/replproxy/replproxy/fanout/walsource"
	"github.com/replproxy/replproxy/proxy/admin"
	"github.com/replproxy/replproxy/proxy/config"
)

// TestAcceptedIsWarnedOf: a word that is not used yet is told of, with how to take it back.
func TestAcceptedIsWarnedOf(t *testing.T) {
	for _, a := range []*admin.Accepted{{Timeline: 3, System: "7", Forced: true}, {Timeline: 3, From: 16, To: 32, Of: 2}} {
		if w := acceptedWarnings(a); len(w) != 1 || !strings.Contains(w[0], "accept-timeline --revoke 3 takes that back") {
			t.Errorf("%+v: %q", a, w)
		}
	}
	if w := acceptedWarnings(nil); w != nil {
		t.Errorf("none: %q", w)
	}
}

// TestHeldBackIsWarnedOf: that a new data_dir serves nobody is said, with for whom it waits.
func TestHeldBackIsWarnedOf(t *testing.T) {
	for _, c := range []struct {
		newcomer bool
		unheard  []string
		want     string
	}{
		{false, nil, ""},
		{true, []string{"b", "c"}, "from b or c: start one of them; only if each is gone for good, say so: replproxy forget b"},
		{true, nil, "no standby is served: data_dir is new, and while no WAL comes in"},
	} {
		w := heldBackWarnings(loss.HeldBack(c.newcomer, c.unheard), c.unheard)
		if (len(w) == 0) != (c.want == "") || len(w) > 0 && !strings.Contains(w[0], c.want) {
			t.Errorf("%+v: %q", c, w)
		}
	}
}

// TestLateMembersAreWarnedOf: each member that was away is named, with where the operator says that nothing is missing.
func TestLateMembersAreWarnedOf(t *testing.T) {
	late := []walsource.LackError{{Timeline: 3, Of: 1, From: 16, To: 32, By: "b"}, {Timeline: 3, Of: 2, From: 16, To: 48, By: "c"}}
	w := lateWarnings(late)
	if len(w) != 2 || !strings.Contains(w[0], "from 0/10 to 0/20") || !strings.HasSuffix(w[0], "accept-timeline 3 on b") ||
		!strings.Contains(w[1], "timeline 2 from") || !strings.HasSuffix(w[1], "accept-timeline 3 on c") {
		t.Errorf("%q", w)
	}
	if w := lateWarnings(nil); w != nil {
		t.Errorf("nobody: %q", w)
	}
}

// TestAcceptedLackAsksForNothing: what is accepted is told of with what is waited for, and not with the advice to accept
// it. A word about something else changes nothing.
func TestAcceptedLackAsksForNothing(t *testing.T) {
	forked := admin.Lack{Timeline: 3, Of: 2, From: 16, To: 32}
	lost := admin.Lack{Timeline: 3, Of: 3, To: 32, Lost: true}
	for name, c := range map[string]struct {
		lack    admin.Lack
		word    *admin.Accepted
		advised bool
	}{
		"nobody accepts it":         {forked, nil, true},
		"it is accepted":            {forked, &admin.Accepted{Timeline: 3, From: 16, To: 32, Of: 2}, false},
		"the loss is":               {lost, &admin.Accepted{Timeline: 3, To: 32, Of: 3}, false},
		"whatever it lacks":         {lost, &admin.Accepted{Timeline: 3, Forced: true}, false},
		"by v0.1.0":                 {forked, &admin.Accepted{Timeline: 3}, false},
		"by v0.1.0, no loss of WAL": {lost, &admin.Accepted{Timeline: 3}, true},
		"less is":                   {lost, &admin.Accepted{Timeline: 3, To: 31, Of: 3}, true},
		"another timeline is":       {forked, &admin.Accepted{Timeline: 4, Forced: true}, true},
	} {
		got := strings.Join(ruleWarnings(&admin.Upstream{Lack: &c.lack}, false, &admin.Status{Accepted: c.word}), "")
		if strings.Contains(got, "by replproxy accept-timeline 3") != c.advised ||
			strings.Contains(got, "is not followed yet: ") == c.advised {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestEachRefusedHostIsWarnedOf: of several hosts each that is refused has a warning, and only the one that a word covers
// is told of as accepted. Only the one whose WAL is given up asks for the restart.
func TestEachRefusedHostIsWarnedOf(t *testing.T) {
	t.Parallel()
	x := Snapshot{Config: &config.Config{}, Counts: noCounts(), Accepted: &admin.Accepted{Timeline: 3, From: 16, To: 32, Of: 2}}
	x.Stream.Lacks = []*walsource.LackError{
		{Timeline: 3, From: 16, To: 32, Of: 2}, {Timeline: 2, From: 16, To: 32, Of: 2, Lost: true}, {Timeline: 4, To: 64, Of: 2},
	}
	s := Status(&x)
	if u := &s.Upstream; u.Lack.Timeline != 4 || len(u.OtherLacks) != 2 || u.OtherLacks[0].Timeline != 2 {
		t.Errorf("%+v, and %+v", u.Lack, u.OtherLacks)
	}
	all := strings.Join(s.Warnings, "\n")
	for _, want := range []string{"timeline 4 lacks acknowledged WAL", "has lost WAL from 0/10 to 0/20 of timeline 2 and is not followed: ",
		"the server on timeline 3 is not followed yet"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is missing: %s", want, all)
		}
	}
	x.Accepted, x.Aside = nil, &admin.Aside{Timeline: 2, From: 16, To: 32}
	s = Status(&x)
	if l := s.Upstream.Lacks(); l[0].Restart || !l[1].Restart || l[2].Restart {
		t.Errorf("%+v, %+v", l[0], s.Upstream.OtherLacks)
	}
	if all := strings.Join(s.Warnings, "\n"); strings.Count(all, "restart this proxy") != 1 || strings.Contains(all, "the next start of this proxy") {
		t.Error(all)
	}
}

// TestUnknownBeginningIsNoPosition: where nobody knows from where on WAL was lost that is said, and no position is named.
func TestUnknownBeginningIsNoPosition(t *testing.T) {
	t.Parallel()
	for name, w := range map[string][]string{
		"a standby": givenUpWarnings([]admin.GivenUp{{Timeline: 8, To: 0x15001AB0, Standbys: []string{"s2"}}}),
		"a word":    acceptedWarnings(&admin.Accepted{Timeline: 8, Of: 8, To: 0x15001AB0}),
	} {
		if len(w) != 1 || strings.Contains(w[0], "0/0") || !strings.Contains(w[0], "timeline 8 up to 0/15001AB0") {
			t.Errorf("%s: %q", name, w)
		}
	}
	if w := givenUpWarnings([]admin.GivenUp{{Timeline: 8, From: 0x10, To: 0x20, Standbys: []string{"s2"}}}); len(w) != 1 ||
		!strings.Contains(w[0], "from 0/10 to 0/20") {
		t.Errorf("%q", w)
	}
}

// TestAcceptedElsewhere: where a loss is accepted on one proxy and not on another, both say so, with whom it is about. The
// one that was not told offers both ways still, and the one that was asks nobody for anything once all were.
func TestAcceptedElsewhere(t *testing.T) {
	t.Parallel()
	lack := admin.Lack{Timeline: 2, Of: 2, From: 0x10, To: 0x20, Lost: true}
	row := func(here bool, elsewhere, untold []string) []admin.GivenUp {
		return []admin.GivenUp{{Timeline: 2, From: 0x10, To: 0x20, Here: here, Elsewhere: elsewhere, Untold: untold}}
	}
	const to = "0/20 of timeline 2 and is not followed, and "
	const rest = " has given that WAL up: give it up here too, by replproxy accept-timeline 2, or stop that primary for good " +
		"and promote a server that has that WAL"
	for name, c := range map[string]struct {
		given    []admin.GivenUp
		lossSays string
		says     string
	}{
		"nobody has":          {nil, "stop it and promote a server that has that WAL, or give it up by replproxy accept-timeline 2", ""},
		"another one has":     {row(false, []string{"proxy_a"}, nil), to + "proxy_a" + rest, ""},
		"it is not restarted": {row(false, nil, []string{"proxy_a"}), to + "another proxy" + rest, ""},
		"this one has":        {row(true, nil, []string{"proxy_b", "proxy_c"}), "stop it and promote", "WAL of timeline 2 up to 0/20 is given up here, and proxy_b and proxy_c may have it still: run replproxy accept-timeline 2 there too, and restart that proxy"},
		"all have":            {row(true, []string{"proxy_b"}, nil), "stop it and promote", ""},
	} {
		if got := strings.Join(ruleWarnings(&admin.Upstream{Lack: &lack}, false, &admin.Status{GivenUp: c.given}), "|"); !strings.Contains(got, c.lossSays) {
			t.Errorf("%s: %q", name, got)
		}
		if got := strings.Join(givenUpWarnings(c.given), "|"); got != c.says {
			t.Errorf("%s: %q", name, got)
		}
	}
	other := lack
	if other.From, other.To = 0x20, 0x30; givenUpBy(&other, row(false, []string{"proxy_a"}, nil)) != "" {
		t.Error("another loss of that timeline was given up")
	}
}

// TestChangedMind: while a proxy has WAL that was given up, and standbys that have it are refused, it says how that WAL is
// kept after all. That is by --end, as none of them can attach. Once the proxy has none of it nobody is told.
func TestChangedMind(t *testing.T) {
	t.Parallel()
	given := []admin.GivenUp{{Timeline: 2, From: 0x10, To: 0x20, Here: true, Standbys: []string{"s1", "s2"}}}
	w := strings.Join(keepWarnings(&admin.Aside{Timeline: 2, From: 0x10, To: 0x20}, given, &admin.Store{}, nil), "|")
	for _, words := range []string{"of timeline 2 up to 0/20", "as s1 and s2 may", "restart no proxy", "make no standby anew", "--end NAME=LSN"} {
		if !strings.Contains(w, words) {
			t.Errorf("%q is not in %q", words, w)
		}
	}
	for name, w := range map[string][]string{
		"it has none":       keepWarnings(nil, given, &admin.Store{}, nil),
		"it is another":     keepWarnings(&admin.Aside{Timeline: 2, From: 0x20, To: 0x30}, given, &admin.Store{}, nil),
		"no standby has it": keepWarnings(&admin.Aside{Timeline: 2, To: 0x20}, []admin.GivenUp{{Timeline: 2, To: 0x20}}, &admin.Store{}, nil),
	} {
		if len(w) > 0 {
			t.Errorf("%s: %q", name, w)
		}
	}
}

// TestKeptWhereItWasNotToldOf: a member that was not told that WAL is given up has it still. It says so, with both ways,
// also once the primary is stopped, and not twice while that is refused.
func TestKeptWhereItWasNotToldOf(t *testing.T) {
	t.Parallel()
	rows := func(here bool) []admin.GivenUp {
		return []admin.GivenUp{{Timeline: 2, From: 0x10, To: 0x20, Here: here, Elsewhere: []string{"proxy_a"}}}
	}
	has, none, other := admin.Store{Timeline: 2, Received: 0x20}, admin.Store{Timeline: 2, Received: 0x10}, admin.Store{Timeline: 3, Received: 0x30}
	lost := []*admin.Lack{{Timeline: 2, Of: 2, From: 0x10, To: 0x20, Lost: true}}
	w := strings.Join(keepWarnings(nil, rows(false), &has, nil), "|")
	for _, words := range []string{"is given up by proxy_a, and this proxy has it still", "by replproxy accept-timeline 2;", "restart no proxy",
		"make no standby anew", "stop that primary for good"} {
		if !strings.Contains(w, words) {
			t.Errorf("%q is not in %q", words, w)
		}
	}
	for name, w := range map[string][]string{
		"it was told":          keepWarnings(nil, rows(true), &has, nil),
		"it has none":          keepWarnings(nil, rows(false), &none, nil),
		"on another timeline":  keepWarnings(nil, rows(false), &other, nil),
		"its refusal says it":  keepWarnings(nil, rows(false), &has, lost),
		"nothing was given up": keepWarnings(nil, nil, &has, nil),
	} {
		if len(w) > 0 {
			t.Errorf("%s: %q", name, w)
		}
	}
}

// TestNoSecondWordBeforeTheRestart: while the store waits for its restart no other word is taken, and none is advised.
func TestNoSecondWordBeforeTheRestart(t *testing.T) {
	t.Parallel()
	for _, l := range []admin.Lack{{Timeline: 3, From: 16, To: 32, Of: 2}, {Timeline: 3, Of: 3, To: 32, Lost: true}} {
		got := strings.Join(ruleWarnings(&admin.Upstream{Lack: &l}, false, &admin.Status{Aside: &admin.Aside{Timeline: 2}}), "")
		if strings.Contains(got, "accept-timeline") || !strings.Contains(got, "once this proxy has been restarted") {
			t.Errorf("%q", got)
		}
	}
}
