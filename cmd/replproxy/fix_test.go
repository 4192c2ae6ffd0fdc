package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// TestCheckFixes: the statements of check --fix mend a primary that is not ready; they are run after a yes alone.
func TestCheckFixes(t *testing.T) {
	in := pgtest.Need(t, 15)
	primary := in.Primary(t)
	primary.Exec(t, "ALTER SYSTEM SET wal_sender_timeout = 0")
	primary.Exec(t, "ALTER SYSTEM SET max_wal_senders = 1")
	primary.Restart(t)
	args := []string{"check", "--upstream", primary.Conninfo(), "--name", "p", "--data-dir", in.TempDir(t), "--fix"}
	asked := func(answer string, more ...string) (int, string) {
		var out bytes.Buffer
		root := rootCommand(&out, &out)
		root.SetIn(strings.NewReader(answer))
		root.SetArgs(append(args, more...))
		code := exitCode(root.ExecuteContext(t.Context()))
		return code, out.String()
	}
	shown := func() string { return primary.SQL(t, "SHOW wal_sender_timeout")[0][0] }
	code, out := asked("")
	for _, want := range []string{
		"-- on primary, as a role that may change settings and roles\nALTER SYSTEM SET wal_sender_timeout = '60s'; -- wal_sender_timeout\n",
		"ALTER SYSTEM SET max_wal_senders = 3; -- max_wal_senders; needs a restart\nSELECT pg_reload_conf();", "-- then restart primary\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("exit code %d, no %q in\n%s", code, want, out)
		}
	}
	for _, answer := range []string{"", "n\n", "yet\n"} {
		if code, out := asked(answer, "--apply"); code != exitFailure || !strings.Contains(out, "nothing was run") || shown() != "0" {
			t.Errorf("%q: exit code %d\n%s", answer, code, out)
		}
	}
	if code, out := asked("yes\n", "--apply"); code != exitOK || strings.Count(out, "done: ") != 3 {
		t.Errorf("exit code %d\n%s", code, out)
	}
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the primary to reload", func() (bool, error) { return shown() == "1min", nil })
	primary.Restart(t)
	if _, out := asked(""); !strings.Contains(out, "-- no statement mends") {
		t.Errorf("after them:\n%s", out)
	}
	if code, _ := asked("", "--apply", "--json"); code != exitUsage {
		t.Errorf("--apply --json: exit code %d", code)
	}
}
