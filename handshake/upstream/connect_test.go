package upstream

import (
	"context"
	"errors"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/wire"
)

func join(ports ...int) string {
	var s []string
	for _, p := range ports {
		s = append(s, strconv.Itoa(p))
	}
	return strings.Join(s, ",")
}

// accept is a server that lets everybody in and then runs script.
func accept(t *testing.T, status map[string]string, script func(net.Conn)) int {
	return peer(t, func(c net.Conn) {
		if readStartup(c) == nil {
			return
		}
		if _, err := c.Write(welcome(status)); err == nil {
			script(c)
		}
	})
}

func TestConnectLosesNothingReadAhead(t *testing.T) {
	port := peer(t, func(c net.Conn) {
		readStartup(c)
		b := welcome(map[string]string{"server_version": "15.20"})
		b = wire.AppendFrame(b, 'S', []byte("in_hot_standby\x00off\x00"))
		b = wire.AppendFrame(b, 'N', []byte("SNOTICE\x00C00000\x00Mhi\x00\x00"))
		b = wire.AppendFrame(b, 'C', []byte("SHOW\x00"))
		c.Write(wire.AppendFrame(b, 'Z', []byte{'I'})) // all in one packet
		c.Read(make([]byte, 1000))
	})
	s, err := config(t, conninfoFor(port, "sslmode=disable")).Connect(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.PID != 7 || string(s.Key) != "\x01\x02\x03\x04" || s.Parameters["server_version"] != "15.20" {
		t.Errorf("%+v", s)
	}
	res, err := s.Query(t.Context(), "SHOW x")
	if err != nil || len(res) != 1 || res[0].Tag != "SHOW" || s.Parameters["in_hot_standby"] != "off" {
		t.Errorf("%+v, %v, %v", res, err, s.Parameters)
	}
}

func TestConnectStartupPacket(t *testing.T) {
	packets := make(chan []byte, 1)
	port := peer(t, func(c net.Conn) {
		packets <- readStartup(c)
		c.Write(welcome(nil))
	})
	c := config(t, conninfoFor(port, "sslmode=disable fallback_application_name=fb"))
	for _, params := range []map[string]string{
		nil,
		{"application_name": "proxy_a"},
		{"replication": "true", "application_name": "proxy_a"},
		{"database": "other"},
	} {
		s, err := c.Connect(t.Context(), params)
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		got := map[string]string{}
		fields := strings.Split(string((<-packets)[4:]), "\x00")
		for i := 0; i+1 < len(fields) && fields[i] != ""; i += 2 {
			got[fields[i]] = fields[i+1]
		}
		want := map[string]string{"user": "u", "database": "d", "application_name": "fb"}
		if params["replication"] == "" {
			maps.Copy(want, sqlSettings)
		}
		maps.Copy(want, params)
		if params["replication"] != "" {
			want["database"] = "replication"
		}
		for k, v := range want {
			if got[k] != v {
				t.Errorf("%v: %s is %q, expected %q", params, k, got[k], v)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%v: sent %v", params, got)
		}
	}
}

func TestConnectFindsThePrimary(t *testing.T) {
	idle := func(c net.Conn) { c.Read(make([]byte, 100)) }
	standby := accept(t, map[string]string{"in_hot_standby": "on"}, idle)
	primary := accept(t, map[string]string{"in_hot_standby": "off"}, idle)
	starting := peer(t, func(c net.Conn) {
		readStartup(c)
		c.Write(refusal("FATAL", "57P03", "the database system is starting up"))
	})
	for _, tc := range []struct {
		attrs string
		want  int
	}{{"", primary}, {"standby", standby}, {"prefer-standby", standby}, {"any", standby}, {"read-write", primary}} {
		c := config(t, "host=127.0.0.1,127.0.0.1,127.0.0.1 sslmode=disable user=u target_session_attrs='"+tc.attrs+
			"' port="+join(starting, standby, primary))
		s, err := c.Connect(t.Context(), nil)
		if err != nil {
			t.Fatalf("%q: %v", tc.attrs, err)
		}
		if int(s.Endpoint.Port) != tc.want || s.Endpoint.Addr == "" {
			t.Errorf("%q: reached %+v", tc.attrs, s.Endpoint)
		}
		s.Close()
	}
	only := config(t, "host=127.0.0.1,127.0.0.1 sslmode=disable user=u port="+join(starting, standby))
	_, err := only.Connect(t.Context(), nil)
	var refused *pgerror.Error
	if !errors.Is(err, ErrStandby) || !errors.As(err, &refused) || refused.Code != pgerror.CannotConnectNow {
		t.Errorf("each endpoint's reason must be there: %v", err)
	}
	prefer := config(t, conninfoFor(primary, "sslmode=disable target_session_attrs=prefer-standby"))
	s, err := prefer.Connect(t.Context(), nil)
	if err != nil {
		t.Fatalf("prefer-standby settles for a primary: %v", err)
	}
	s.Close()
}

func TestConnectDoesNotRepeatARefusedPassword(t *testing.T) {
	logins := make(chan struct{}, 9)
	port := peer(t, func(c net.Conn) {
		if !sslRequest(c, "N") {
			logins <- struct{}{}
			c.Write(refusal("FATAL", "28P01", "password authentication failed"))
		}
	})
	c := config(t, conninfoFor(port, "sslmode=allow"))
	if _, err := c.Connect(t.Context(), nil); err == nil {
		t.Fatal("connected")
	}
	if n := len(logins); n != 1 {
		t.Errorf("%d log-ins with a password that was refused", n)
	}
}

func TestQueryGarbage(t *testing.T) {
	for name, answer := range map[string][]byte{
		"unknown type":      wire.AppendFrame(nil, 'y', []byte("x")),
		"short row":         wire.AppendFrame(nil, 'D', []byte{0}),
		"row without value": wire.AppendFrame(nil, 'D', []byte{0, 1, 0, 0, 0, 9, 'x'}),
		"short columns":     wire.AppendFrame(nil, 'T', []byte{0, 1, 'a'}),
		"bad error":         wire.AppendFrame(nil, 'E', []byte{'C'}),
		"copy":              wire.AppendFrame(nil, 'W', []byte{0, 0, 0}),
		"bad status":        wire.AppendFrame(nil, 'S', []byte("a\x00")),
		"length below 4":    {'Z', 0, 0, 0, 3},
		"huge message":      wire.AppendHeader(nil, 'D', 1<<30),
		"end":               {},
	} {
		port := accept(t, nil, func(c net.Conn) { c.Write(answer) })
		s, err := config(t, conninfoFor(port, "sslmode=disable")).Connect(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		var refused *pgerror.Error
		if _, err := s.Query(t.Context(), "IDENTIFY_SYSTEM"); err == nil || errors.As(err, &refused) {
			t.Errorf("%s: %v", name, err)
		}
		s.Close()
	}
}

func TestQueryEndsWithItsContext(t *testing.T) {
	port := accept(t, nil, func(c net.Conn) { c.Read(make([]byte, 100)); c.Read(make([]byte, 100)) })
	s, err := config(t, conninfoFor(port, "sslmode=disable")).Connect(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := s.Query(ctx, "SHOW x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestRealServer(t *testing.T) {
	in := pgtest.Need(t, 15)
	srv := in.Primary(t, pgtest.SCRAM(`its \secret`))
	dir := t.TempDir()
	pass := filepath.Join(dir, "pass")
	line := "127.0.0.1:*:replication:postgres:its \\\\secret\nother:*:*:*:wrong\n"
	if err := os.WriteFile(pass, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	port := srv.Port
	base := "host=127.0.0.1 user=postgres dbname=postgres port=" + strconv.Itoa(port)
	c := config(t, base+" passfile="+pass)
	s, err := c.Connect(t.Context(), map[string]string{"replication": "true", "application_name": "px"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	answers, err := s.QueryAll(t.Context(), "IDENTIFY_SYSTEM", "SHOW nosuch", "SHOW wal_segment_size", "TIMELINE_HISTORY 9")
	if err != nil {
		t.Fatal(err)
	}
	row := answers[0].Results[0].Rows[0]
	if len(row) != 4 || row[3] != nil || answers[0].Results[0].Columns[0] != "systemid" {
		t.Errorf("IDENTIFY_SYSTEM: %q", row)
	}
	for i, code := range map[int]pgerror.Code{1: "42704", 3: pgerror.UndefinedFile} {
		var e *pgerror.Error
		if !errors.As(answers[i].Err, &e) || e.Code != code {
			t.Errorf("answer %d: %v", i, answers[i].Err)
		}
	}
	if v := string(answers[2].Results[0].Rows[0][0]); v != "16MB" {
		t.Errorf("wal_segment_size %q", v)
	}
	if _, err := c.Connect(t.Context(), nil); err == nil {
		t.Error("the passfile has no password for database postgres")
	} else if strings.Contains(err.Error(), "secret") {
		t.Errorf("shows the password: %v", err)
	}
	if err := os.Chmod(pass, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = c.Connect(t.Context(), map[string]string{"replication": "true"})
	if err == nil || !strings.Contains(err.Error(), "group or world access") || strings.Contains(err.Error(), "secret") {
		t.Errorf("a password file that others may read: %v", err)
	}
	sql, err := config(t, base+` password='its \\secret'`).Connect(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer sql.Close()
	res, err := sql.Query(t.Context(), "select 1 as a, null as b; select ''")
	if err != nil || len(res) != 2 || res[0].Rows[0][1] != nil || res[1].Rows[0][0] == nil {
		t.Errorf("%+v, %v", res, err)
	}
	_, err = config(t, base+" password=wrong").Connect(t.Context(), nil)
	var e *pgerror.Error
	if !errors.As(err, &e) || e.Code != pgerror.InvalidPassword {
		t.Errorf("wrong password: %v", err)
	}
	checkCancel(t, config(t, base), sql)
}

// checkCancel cancels a query of s by the key that s was given.
func checkCancel(t *testing.T, c *Config, s *Session) {
	t.Helper()
	raw := []byte{0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e, byte(s.PID >> 24), byte(s.PID >> 16), byte(s.PID >> 8), byte(s.PID)}
	raw = append(raw, s.Key...)
	done := make(chan error, 1)
	go func() {
		_, err := s.Query(t.Context(), "select pg_sleep(30)")
		done <- err
	}()
	for {
		if err := c.Cancel(t.Context(), s.Endpoint, raw); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			var e *pgerror.Error
			if !errors.As(err, &e) || e.Code != pgerror.QueryCanceled {
				t.Errorf("cancelled query: %v", err)
			}
			return
		case <-time.After(50 * time.Millisecond): // it may have come before the query
		}
	}
}

// A server that is lost during the log-in makes the library dial once more, behind our back and while
// we judge the failure, to cancel what it thinks runs there. For the race detector.
func TestServerLostDuringLogIn(t *testing.T) {
	port := peer(t, func(c net.Conn) {
		readStartup(c)
		c.Write([]byte{'R', 0, 0, 0})
	})
	cfg := config(t, conninfoFor(port, ""))
	for range 50 {
		if _, err := cfg.Connect(t.Context(), nil); err == nil {
			t.Fatal("logged in to a peer that closed")
		}
	}
}
