package preflight

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/proxy/admin"
)

// TestRunningProxyFailsTheCheck: check stands for the proxy that runs, too.
func TestRunningProxyFailsTheCheck(t *testing.T) {
	t.Parallel()
	s := admin.Status{Name: "p", Upstream: admin.Upstream{State: admin.Streaming, Endpoint: "db1:5432"}}
	if c := Running(&s, Facts{})[0]; c.Level != OK {
		t.Errorf("%+v", c)
	}
	s.Upstream.Lack, s.Upstream.LastError = &admin.Lack{Lost: true}, "has lost WAL"
	if c := Running(&s, Facts{})[0]; c.Level != OK {
		t.Errorf("another host is refused, not this one: %+v", c)
	}
	s.Upstream.Member = "proxy_b"
	if c := Running(&s, Facts{})[0]; c.Level != Fail || !strings.Contains(c.Text, "has lost WAL") {
		t.Errorf("%+v", c)
	}
	s.Upstream.State, s.Upstream.LastError = string(walreceiver.Disconnected), "has lost WAL"
	if c := Running(&s, Facts{})[0]; c.Level != Fail || !strings.Contains(c.Text, "has lost WAL") || c.Remedy == "" {
		t.Errorf("%+v", c)
	}
}

// TestRunningProxyTellsWhoIsWaitedFor: commits that wait fail the check, in the words of status.
func TestRunningProxyTellsWhoIsWaitedFor(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	few, none := int64(100), int64(0)
	level := func(behind *int64, since time.Time) []admin.QuorumLevel {
		return []admin.QuorumLevel{{Position: "write"}, {Position: "flush", Quorum: 0x2000000, Behind: behind, Since: since}}
	}
	warning := admin.CommitsWait + "ANY 2 (s1, s2) has 1 candidates"
	for name, c := range map[string]struct {
		s     admin.Status
		level Level
		text  string
	}{
		"no rule":                      {admin.Status{}, OK, "no rule"},
		"no rule, and it is not known": {admin.Status{Warnings: []string{warning}}, Fail, warning},
		"all is covered":               {admin.Status{Quorum: admin.Quorum{Levels: level(&none, now.Add(-time.Hour))}}, OK, "none waits"},
		"one is away, and none waits": {admin.Status{Warnings: []string{"another", admin.VotersAway + "s2 (catching up)"},
			Quorum: admin.Quorum{Levels: level(&none, now.Add(-time.Hour))}}, Warn, "none waits for the rule; " + admin.VotersAway + "s2"},
		"under load": {admin.Status{Quorum: admin.Quorum{Levels: level(&few, now.Add(-time.Second))}}, OK, "none waits"},
		"too few voters": {admin.Status{Warnings: []string{"another", warning},
			Quorum: admin.Quorum{Levels: level(&few, now.Add(-time.Second))}}, Fail, warning},
		"it is not followed": {admin.Status{Upstream: admin.Upstream{State: admin.Connecting},
			Quorum: admin.Quorum{Levels: level(&none, now.Add(-time.Hour))}}, Warn, "not known: no WAL comes"},
	} {
		if c.s.Now = now; c.s.Upstream.State == "" {
			c.s.Upstream.State = admin.Streaming
		}
		if got := Running(&c.s, Facts{})[1]; got.Level != c.level || !strings.HasPrefix(got.Text, c.text) || (got.Remedy == "") != (c.level == OK) {
			t.Errorf("%s: %+v", name, got)
		}
		waits, nobody := c.level, Facts{Settings: map[string]string{"synchronous_standby_names": ""}}
		if waits == Fail {
			waits = Warn
		}
		if got := Running(&c.s, nobody)[1]; got.Level != waits {
			t.Errorf("%s, and the primary waits for nobody: %+v", name, got)
		}
	}
}

// TestCommitsRightAfterTheStart: who has not been heard yet is named with what to do, since commits may wait for no other
// reason.
func TestCommitsRightAfterTheStart(t *testing.T) {
	t.Parallel()
	unheard := admin.NotHeardYet + "3s after the start: b"
	s := admin.Status{Now: time.Unix(1e9, 0), Warnings: []string{unheard, admin.CommitsWait + "ANY 2 (s1, s2) has 1 candidate"}}
	if c := Running(&s, Facts{})[1]; c.Level != Fail || !strings.HasPrefix(c.Remedy, "Ask again in 15 s: "+unheard+". Or see ") {
		t.Errorf("%+v", c)
	}
}

// TestCheckRightAfterTheStart: who has just started is given its time, and nobody is told to start what runs.
func TestCheckRightAfterTheStart(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	s := admin.Status{Now: now, StartedAt: now.Add(-2 * time.Second), Upstream: admin.Upstream{State: admin.Connecting},
		Cluster: &admin.Cluster{Peers: []admin.Peer{{Name: "b"}, {Name: "c", LastHeard: now}}}}
	c := Running(&s, Facts{})
	if !strings.HasPrefix(c[0].Remedy, "It started 2s ago: ask again in 15 s. Then see replproxy status") ||
		!strings.HasPrefix(c[2].Remedy, "This proxy started just now: ask again in 15 s.") || !strings.HasPrefix(c[3].Remedy, "Start it") {
		t.Errorf("%+v", c)
	}
	s.StartedAt = now.Add(-time.Minute)
	if c := Running(&s, Facts{}); !strings.HasPrefix(c[0].Remedy, "See ") || !strings.HasPrefix(c[2].Remedy, "Start it") {
		t.Errorf("%+v", c)
	}
}

// TestRunningProxyTellsOfMembers: each member has a line, but for those that an operator has forgotten.
func TestRunningProxyTellsOfMembers(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	s := admin.Status{Now: now, Quorum: admin.Quorum{Forgotten: []string{"e"}}, Cluster: &admin.Cluster{Peers: []admin.Peer{
		{Name: "a", Heard: now}, {Name: "b", LastHeard: now, LastError: "connection refused"}, {Name: "c"},
		{Name: "d", Heard: now, Differs: 0x3000000}, {Name: "e"}, {Name: "f", Heard: now, Strange: "version 9"},
	}}}
	var got []string
	for _, c := range Running(&s, Facts{})[2:] {
		got = append(got, string(c.Level)+" "+c.Text)
	}
	if want := []string{
		"ok a is heard", "warn b is not heard, since 01:46:40: connection refused", "warn c is not heard",
		"fail d has other WAL than this proxy, from somewhere below 0/3000000 on",
		"warn f cannot be understood, so nothing that it says counts: version 9",
	}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if c := NotRunning([]string{"b"}); len(c) != 1 || c[0].Level != Warn || NotRunning(nil) != nil {
		t.Errorf("no proxy runs: %+v", c)
	}
}

// TestRunningProxyKnowsOfALoss: where the primary was stopped because it has lost WAL, nobody is told to start it again.
func TestRunningProxyKnowsOfALoss(t *testing.T) {
	t.Parallel()
	const advice = "Do not start db1:5432 again, which has lost WAL up to 0/4000000 of timeline 2: promote a standby"
	s := admin.Status{Name: "p", Upstream: admin.Upstream{
		State: admin.Disconnected, LostBy: &admin.LostBy{Host: "db1:5432", Timeline: 2, From: 0x3000000, To: 0x4000000},
	}}
	heed := func() []Check {
		checks := []Check{{Name: "upstream", Level: Fail, Remedy: startOrPromote}, {Name: "role", Level: Warn, Remedy: "another"}}
		Heed(checks, &s)
		return append(checks, Running(&s, Facts{})...)
	}
	if c := heed(); !strings.HasPrefix(c[0].Remedy, advice) || c[1].Remedy != "another" || !strings.HasPrefix(c[2].Remedy, advice) {
		t.Errorf("%+v", c)
	}
	s.Upstream.State = admin.Streaming
	if c := heed(); c[0].Remedy != startOrPromote || c[2].Remedy != "" {
		t.Errorf("one is followed: %+v", c)
	}
}
