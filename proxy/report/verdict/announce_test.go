package verdict

import (
	"testing"
	"time"

	"github.com/replproxy/replproxy/proxy/admin"
)

// TestAnnouncer: a change is logged once it lasts for two looks, and no more than one line in ten seconds, which then
// has what holds.
func TestAnnouncer(t *testing.T) {
	var a Announcer
	at := func(second int, state, cause string, want bool) {
		t.Helper()
		v := admin.Verdict{State: state, Cause: cause, Text: time.Duration(second).String()}
		if got := a.Due(now.Add(time.Duration(second)*time.Second), v); got != want {
			t.Errorf("after %d s, %s: %t", second, state, got)
		}
	}
	at(0, "blind", "no WAL has come yet", false) // each start begins so
	at(1, "ok", "", false)
	at(2, "ok", "", true)
	at(3, "ok", "", false)
	at(20, "commits wait", "voters are missing: s2", false)
	at(21, "commits wait", "voters are missing: s2", true)
	at(22, "commits wait", "voters are missing: s2", false)
	at(23, "ok", "", false)
	at(24, "ok", "", false) // flapping: too soon
	at(25, "commits wait", "voters are missing: s2, s3", false)
	at(26, "commits wait", "voters are missing: s2, s3", false)
	at(31, "commits wait", "voters are missing: s2, s3", true)
	at(60, "degraded", "x", false)
	at(61, "commits wait", "voters are missing: s2, s3", false)
	at(62, "commits wait", "voters are missing: s2, s3", false) // back to what was said
}
