package proxy_test

import (
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/proxy"
)

// TestLinesOfStrangers: clients that do not log in cannot fill the log, and what others do there is still told.
func TestLinesOfStrangers(t *testing.T) {
	s := scramPrimary(t, pgtest.Need(t, 15))
	access := rules(t, "host all rejected all reject", "host all all all scram-sha-256")
	w := start(t, proxy.Options{Upstream: tcpTo(s), Roles: ask(t, s, nil), Access: access})
	const flood = 100
	began := time.Now()
	for i := range flood {
		for _, role := range []string{"rejected", "nobody" + strconv.Itoa(i)} {
			c, err := net.Dial("tcp", w.tcp())
			if err != nil {
				t.Fatal(err)
			}
			if role == "rejected" {
				odd(t, c, role, "", "")
			} else {
				odd(t, c, role, sasl("SCRAM-SHA-256", "n,,n=,r=abc"), p("c=biws,r=NONCE,p="+zeros))
			}
		}
	}
	if _, err := pgtest.Query(t.Context(), w.conninfo("user=alice", "password=wonder"), "SELECT 1"); err != nil {
		t.Fatal(err)
	}
	pgtest.WaitFor(t, patience, "the end of the session that logged in", func() (bool, error) {
		return strings.Contains(w.log.String(), `why="closed by the client" class=regular user=alice`), nil
	})
	lines := 20 * (2 + int(time.Since(began)/(10*time.Second))) // per kind: so many windows may have ended meanwhile
	log := w.log.String()
	for line, least := range map[string]int{"connection refused": 1, "log-in failed": 20, "session ended": 20} {
		if n := strings.Count(log, line); n < least || n > lines+1 {
			t.Errorf("%q: %d lines for %d strangers", line, n, flood)
		}
	}
	if n := w.Counts().Failures; n != flood || !strings.Contains(log, "msg=authenticated") {
		t.Errorf("%d failures of %d", n, flood)
	}
}

// TestAudit: who has logged in, by which method and rule, and who has failed to, at the time; guesses wait for
// auth.delay, and nobody else does.
func TestAudit(t *testing.T) {
	in := pgtest.Need(t, 15)
	plain := in.Primary(t, pgtest.SCRAM("secret"))
	scram := scramPrimary(t, in)
	delay := 300 * time.Millisecond
	for name, w := range map[string]*world{
		"relay": start(t, proxy.Options{Upstream: tcpTo(plain), Limits: proxy.Limits{AuthDelay: delay}}),
		"scram": start(t, proxy.Options{Upstream: tcpTo(scram), Roles: ask(t, scram, nil), Limits: proxy.Limits{AuthDelay: delay}}),
	} {
		user, password, method := "user=postgres", "password=secret", "method=trust rule=1" // of pgtest.TrustLoopback
		if name == "scram" {
			user, password, method = "user=alice", "password=wonder", "method=scram-sha-256 rule=2"
		}
		if _, err := pgtest.Query(t.Context(), w.conninfo(user, password), "SELECT 1"); err != nil {
			t.Fatal(err)
		}
		if log := w.log.String(); !strings.Contains(log, "msg=authenticated") || !strings.Contains(log, method) ||
			strings.Contains(log, "log-in failed") || w.Counts().Failures != 0 {
			t.Errorf("%s: %d failures\n%s", name, w.Counts().Failures, log)
		}
		for i, bad := range [][]string{{user, "password=wrong"}, {"user=nobody", "password=wrong"}} {
			began := time.Now()
			_, err := pgtest.Query(t.Context(), w.conninfo(bad...), "SELECT 1")
			if took := time.Since(began); sqlState(err) != "28P01" || took < delay || w.Counts().Failures != int64(i+1) {
				t.Errorf("%s, %v: %v after %v, %d failures", name, bad, err, took, w.Counts().Failures)
			}
		}
		if log := w.log.String(); strings.Count(log, "log-in failed") != 2 || strings.Count(log, "code=28P01") != 2 ||
			strings.Count(log, "msg=authenticated") != 1 {
			t.Errorf("%s:\n%s", name, log)
		}
	}
}
