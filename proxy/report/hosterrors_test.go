package report

import (
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/fanout/walsource"
	"github.com/replproxy/replproxy/proxy/admin"
	"github.com/replproxy/replproxy/proxy/config"
)

// TestHostErrors: a host has one short line, and how long it has failed does not begin anew with another reason.
func TestHostErrors(t *testing.T) {
	now := time.Unix(1e9, 0).UTC()
	const refused = `connection to server at "127.0.0.1", port 15999 failed: connect: connection refused`
	for text, want := range map[string]string{
		"":      "",
		refused: "127.0.0.1:15999: connection refused",
		refused + `; connection to server at "nosuch.invalid", port 5432 failed: lookup nosuch.invalid on 10.2.2.3:53: no such host`: "127.0.0.1:15999: connection refused; " +
			"nosuch.invalid:5432: no such host",
		`connection to server at "::1", port 5432 (::1) with TLS failed: 10.1.1.1:5432 (10.1.1.1): tls error: server refused TLS connection; ` +
			`connection to server at "::1", port 5432 (::1) failed: FATAL:  no pg_hba.conf entry; DETAIL: x; HINT: y`: "[::1]:5432: FATAL:  no pg_hba.conf entry",
		`connection to server at "/run/.s.PGSQL.5432" failed: connect: no such file or directory`: "/run/.s.PGSQL.5432: no such file or directory",
		"upstream host db2:5432 is refused: WAL differs; HINT: Stop it.; " + refused:              "db2:5432: WAL differs; 127.0.0.1:15999: connection refused",
		"read upstream conninfo: no": "read upstream conninfo: no",
		strings.Repeat("é", 100):     strings.Repeat("é", 80) + "…",
	} {
		u := admin.Upstream{Errors: hostErrors(text, nil, now)}
		if got := u.Reasons(); got != want {
			t.Errorf("%s:\n got %s\nwant %s", text, got, want)
		}
	}
	before := []admin.HostError{{Host: "127.0.0.1:15999", Error: "timeout", Since: now.Add(-time.Minute)}}
	if all := hostErrors(refused, before, now); len(all) != 1 || !all[0].Since.Equal(now.Add(-time.Minute)) {
		t.Errorf("%+v", all)
	}
	x := Snapshot{Config: &config.Config{Name: "a"}, Now: now, Counts: noCounts(),
		Stream: walsource.Status{Status: walreceiver.Status{State: walreceiver.Disconnected, LastError: refused}}}
	if s := Status(&x); len(s.Upstream.Errors) != 1 || !strings.Contains(s.Verdict.Text, "from 127.0.0.1:15999 yet: connection refused →") {
		t.Errorf("%+v, %s", s.Upstream.Errors, s.Verdict.Text)
	}
	x.Stream.State = walreceiver.Streaming
	if s := Status(&x); s.Upstream.Errors != nil {
		t.Errorf("WAL comes, and %+v", s.Upstream.Errors)
	}
}
