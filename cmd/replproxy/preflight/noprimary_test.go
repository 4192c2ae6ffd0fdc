package preflight

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/handshake/upstream"
)

// TestNoPrimary: of several hosts some answer as standbys and none as a primary. What could not be asked is left out.
func TestNoPrimary(t *testing.T) {
	s, f := goodSetup(), goodFacts()
	s.AuthMethod, s.AuthQuery, f.AuthAsked = scram, "SELECT", true
	standby := upstream.Attempt{Endpoint: upstream.Endpoint{Host: "db2", Port: 5432}, Err: upstream.ErrStandby}
	f.Replication = &upstream.ConnectError{Attempts: []upstream.Attempt{standby}}
	f.SQL, f.AuthErr = f.Replication, f.Replication
	checks := Judge(s, f)
	got := fmt.Sprint(checks)
	if !strings.HasPrefix(checks[0].Text, "no host is a primary: docs/failover.md") || Passed(checks) {
		t.Errorf("%+v", checks[0])
	}
	for _, not := range []string{"auth.query", "{pg_hba ", "Check host and port"} {
		if strings.Contains(got, not) {
			t.Errorf("%q in %s", not, got)
		}
	}
	f.Replication = &upstream.ConnectError{Attempts: []upstream.Attempt{standby, {Err: io.ErrUnexpectedEOF}}}
	if text := reachable(s, f).Text; strings.Contains(text, "no host") {
		t.Errorf("one answers otherwise, and it says %q", text)
	}
}
