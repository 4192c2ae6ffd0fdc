package report

import (
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/fanout/walsource"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/proxy"
	"github.com/replproxy/replproxy/proxy/admin"
	"github.com/replproxy/replproxy/proxy/config"
)

func noCounts() proxy.Counts { return proxy.Counts{RefusedBy: make([]int64, len(proxy.Reasons()))} }

// TestFollowsNobody: a proxy without a stream says so after seconds, however often it tries anew, and how long that is
// does not begin anew with each attempt.
func TestFollowsNobody(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 12, 1, 0, 0, time.UTC)
	ago := func(n int) time.Time { return now.Add(-time.Duration(n) * time.Second) }
	const why = "password authentication failed"
	for name, c := range map[string]struct {
		stream walreceiver.Status
		heard  time.Time
		want   string
		since  time.Time
	}{
		"streams": {walreceiver.Status{State: walreceiver.Streaming, Since: ago(60), Ended: ago(61), LastMessage: ago(20), LastError: why},
			ago(20), "", ago(60)},
		"the stream has ended": {walreceiver.Status{State: walreceiver.Disconnected, Since: ago(1), Ended: ago(34), LastMessage: ago(35), LastError: why},
			ago(35), "no WAL comes from the primary since 12:00:25: " + why, ago(34)},
		"it tries":               {walreceiver.Status{State: walreceiver.Connecting, Since: now, Ended: ago(5), LastError: why}, time.Time{}, "no WAL comes from the primary since 12:00:55: " + why, ago(5)},
		"just ended":             {walreceiver.Status{State: walreceiver.Connecting, Since: now, Ended: ago(4), LastMessage: ago(30), LastError: why}, ago(30), "", ago(4)},
		"first try":              {walreceiver.Status{State: walreceiver.Connecting, Since: ago(4)}, time.Time{}, "", ago(4)},
		"it hangs":               {walreceiver.Status{State: walreceiver.Connecting, Since: ago(9)}, time.Time{}, "no WAL comes from the primary since 12:00:51", ago(9)},
		"it has just taken over": {walreceiver.Status{State: walreceiver.Streaming, Member: "b", Since: ago(4), LastMessage: ago(1)}, ago(900), "", ago(4)},
		"never heard":            {walreceiver.Status{State: walreceiver.Streaming, Member: "b", Since: ago(60), LastMessage: ago(1)}, time.Time{}, "", ago(60)},
		"from members":           {walreceiver.Status{State: walreceiver.Streaming, Member: "b", Since: ago(60), LastMessage: ago(1)}, ago(1), "", ago(60)},
		"a member was lost": {walreceiver.Status{State: walreceiver.Disconnected, Member: "b", Since: ago(1), Ended: ago(30), LastMessage: ago(31), LastError: why},
			ago(31), "no WAL comes from the primary since 12:00:29: " + why, ago(30)},
		"a member that gets none": {walreceiver.Status{State: walreceiver.Streaming, Member: "b", Since: ago(60), LastMessage: ago(1)},
			ago(9), "no WAL comes from the primary since 12:00:51: member b, which is streamed from, gets none", ago(60)},
	} {
		x := Snapshot{Config: &config.Config{Name: "a"}, Now: now, Started: ago(100), Counts: noCounts(), LastMessage: c.heard, Stream: walsource.Status{Status: c.stream}}
		x.Votes.Levels[1].Satisfiable = true
		s := Status(&x)
		if got := strings.Join(s.Warnings, "|"); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if !s.Upstream.Since.Equal(c.since) {
			t.Errorf("%s: since %s, want %s", name, s.Upstream.Since, c.since)
		}
	}
}

// TestFollowsFirst: that nobody is followed comes before what follows from it. What is refused has its own warning.
func TestFollowsFirst(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	x := Snapshot{Config: &config.Config{Name: "a"}, Now: now, Started: now.Add(-time.Hour), Counts: noCounts(), Stream: walsource.Status{Status: walreceiver.Status{
		State: walreceiver.Disconnected, Ended: now.Add(-time.Minute)}}, Higher: &admin.Higher{Host: "b"}}
	if s := Status(&x); len(s.Warnings) != 3 || !strings.HasPrefix(s.Warnings[0], "no WAL comes from the primary since ") {
		t.Errorf("%q", s.Warnings)
	}
	x.Stream.Stop = &walsource.Stop{Why: "another system"}
	if s := Status(&x); strings.Contains(strings.Join(s.Warnings, "|"), "no WAL comes") {
		t.Errorf("%q", s.Warnings)
	}
}

// TestShutOut: a password that is refused has another remedy than a line that pg_hba.conf lacks.
func TestShutOut(t *testing.T) {
	t.Parallel()
	for code, want := range map[pgerror.Code]string{
		pgerror.InvalidPassword: "refuses the password of this proxy's role",
		"28000":                 "give it a line for SQL in pg_hba.conf",
	} {
		got := strings.Join(SQLWarnings(pgerror.New(code, "no")), "|")
		if !strings.Contains(got, want) || strings.Contains(got, "pg_hba.conf") != (code == "28000") {
			t.Errorf("%s: %q", code, got)
		}
	}
	if got := SQLWarnings(nil); got != nil {
		t.Errorf("%q", got)
	}
}
