package failover

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// scp is a program that takes a proxy's name for its host, as ssh does.
func (s *recipeSite) scp(t *testing.T) (program string) {
	t.Helper()
	return s.Write(t, "scp", "#!/bin/sh\nexec cp \"${1#*:}\" \"$2\"\n")
}

// A candidate that lacks acknowledged WAL and cannot log in any more takes it from the files of a proxy's
// store, by restore_command. The hook refuses it before and lets it through then.
func TestPromoteFedByFiles(t *testing.T) {
	s := newRecipeSite(t, "ANY 1 (s2, s3)", []int{0, 0, 0}, "proxy_a")
	s.load.WaitProgress(t, 20)
	candidate, proxy := s.standbys[0], s.Proxies[0]
	candidate.Kill9(t)
	scene.WriteWAL(t, s.primary, 20) // it lacks more than one segment
	s.load.WaitProgress(t, 50)
	s.primary.Stop(t, pgtest.Fast) // killed amid a record it would leave a position that no file leads to
	candidate.Set(t, "primary_conninfo = ''")
	candidate.Start(t)
	if out, err := s.hook(t, 0); err == nil || !strings.Contains(out, "s1: proven after it has been fed from") {
		t.Fatalf("before it is fed: %v\n%s", err, out)
	}
	end := scene.Status(t, proxy).Store.Flushed
	candidate.Exec(t, fmt.Sprintf("ALTER SYSTEM SET restore_command = '%s %s:%s/wal/%%f %%p'", s.scp(t), proxy.Name, proxy.DataDir))
	candidate.Reload()
	candidate.WaitReplay(t, end)
	if out, err := s.hook(t, 0); err != nil {
		t.Fatalf("after it was fed: %v\n%s", err, out)
	}
	candidate.Promote(t)
	s.goesOn(t, candidate)
}

// The rule for managers without a hook, as a script: n - k + 1 standbys that have left the proxies are enough, and the
// one of them that has most is promoted, while the old primary lives on; fewer are refused.
func TestPromoteFurthest(t *testing.T) {
	s := newRecipeSite(t, "ANY 2 (s1, s2, s3, s4)", []int{0, 0, 0, 0}, "proxy_a")
	s.load.WaitProgress(t, 20)
	behind := s.standbys[0]
	const nowhere = "host=127.0.0.1 port=1 user=nobody dbname=postgres"
	behind.Set(t, "primary_conninfo = '"+nowhere+"'")
	behind.Reload()
	pgtest.WaitFor(t, time.Minute, "s1 to leave its proxy", func() (bool, error) {
		return behind.Scalar(t, "SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'") == "0", nil
	})
	s.load.WaitProgress(t, 50)
	promote := func(standbys ...int) (string, error) {
		args := []string{"2"}
		for i, standby := range s.standbys {
			conninfo := nowhere
			for _, n := range standbys {
				if n == i {
					conninfo = standby.Conninfo()
				}
			}
			args = append(args, conninfo)
		}
		cmd, out := s.Begin(t, "promote_furthest.sh", nil, args...)
		err := cmd.Wait()
		return out.String(), err
	}
	if out, err := promote(0, 1); err == nil || !strings.Contains(out, "only 2 of 4 standbys were heard") {
		t.Fatalf("two of four, which two others may have left behind: %v\n%s", err, out)
	}
	if out, err := promote(0, 1, 2); err != nil {
		t.Fatalf("three of four: %v\n%s", err, out)
	}
	var promoted *pgtest.Server
	for _, standby := range s.standbys {
		if standby.Scalar(t, "SELECT pg_is_in_recovery()") == "f" {
			promoted = standby
		}
	}
	if promoted != s.standbys[1] && promoted != s.standbys[2] {
		t.Fatalf("%+v was promoted", promoted)
	}
	s.primary.Kill9(t)
	for _, standby := range s.standbys[:3] {
		standby.Exec(t, "ALTER SYSTEM RESET primary_conninfo")
		standby.Set(t, "primary_conninfo = '"+s.Proxies[0].Conninfo()+"'")
		standby.Reload()
	}
	s.goesOn(t, promoted)
}
