package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/proxy/admin"
)

// TestLogReaderStandsStill is R46: whoever reads the log stops, and nobody but the log notices. Commits under a rule,
// log-ins, a voter that comes back, the http address and an orderly end go on. Dropped lines are counted, and the log
// says how many there were once there is a reader again.
func TestLogReaderStandsStill(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			stalledLog(t, format)
		})
	}
}

func stalledLog(t *testing.T, format string) {
	in := pgtest.Usual(t)
	reader, stderr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	defer stderr.Close()
	primary := in.Primary(t)
	primary.Exec(t, "CREATE TABLE t (i int)")
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{
		Upstream: primary.Conninfo(), Args: []string{"--synchronous-standby-names", "s1"}, Stderr: stderr,
		Config: "log_format: " + format + "\nlog_level: debug\n",
	})
	voter := in.Standby(t, pgtest.StandbyOptions{From: primary, PrimaryConninfo: proxy.Conninfo("application_name=s1")})
	primary.Exec(t, "ALTER SYSTEM SET synchronous_standby_names = 'proxy'")
	primary.Exec(t, "SELECT pg_reload_conf()")
	commit := func() {
		t.Helper()
		primary.Exec(t, "INSERT INTO t VALUES (1)")
		proxy.SQL(t, "INSERT INTO t VALUES (2)")
	}
	commit()
	// Nobody reads, and sessions with names that are as long as a startup packet takes fill pipe and queue.
	var st admin.Status
	pgtest.WaitFor(t, 2*time.Minute, "lines to be dropped", func() (bool, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		conn, err := pgtest.Dial(ctx, proxy.Conninfo("application_name="+strings.Repeat("x", 8000)))
		if err != nil {
			return false, err
		}
		_ = conn.Close(ctx)
		proxy.Status(t, &st)
		return st.LogDropped > 0, nil
	})
	commit()
	voter.Stop(t, pgtest.Fast)
	voter.Start(t)
	commit()
	for _, path := range []string{"/status", "/readyz", "/metrics"} {
		if code, _, err := proxy.Get(t.Context(), path); code != http.StatusOK || err != nil {
			t.Errorf("%s: %d %v", path, code, err)
		}
	}
	proxy.Signal(syscall.SIGHUP)
	pgtest.WaitFor(t, time.Minute, "SIGHUP to be answered", func() (bool, error) {
		proxy.Status(t, &st)
		return st.Config.Generation == 2, nil
	})
	primary.Exec(t, "ALTER SYSTEM RESET synchronous_standby_names")
	if code := proxy.Terminate(t); code != exitOK {
		t.Errorf("SIGTERM: exit code %d", code)
	}

	// The reader stands still and comes back.
	proxy.StartNoWait(t)
	heard := make(chan uint64, 1)
	pgtest.WaitFor(t, time.Minute, "lines to be dropped again", func() (bool, error) {
		if code, _, err := proxy.Get(t.Context(), "/readyz"); err != nil || code != http.StatusOK {
			return false, nil
		}
		proxy.SQL(t, "SELECT 1", "application_name="+strings.Repeat("x", 8000))
		proxy.Status(t, &st)
		return st.LogDropped > 0, nil
	})
	go func() { heard <- sayings(reader) }()
	select {
	case n := <-heard:
		if proxy.Status(t, &st); n == 0 || n > uint64(st.LogDropped) {
			t.Errorf("the log says that %d lines were dropped, status has %d", n, st.LogDropped)
		}
	case <-time.After(time.Minute):
		t.Error("the log does not say that lines were dropped")
	}
	if code := proxy.Terminate(t); code != exitOK {
		t.Errorf("SIGTERM: exit code %d", code)
	}
}

// sayings reads a log up to the line which says that others were dropped, and then all that comes.
func sayings(log io.Reader) (dropped uint64) {
	said := regexp.MustCompile(`\b(\d+) log lines were dropped`)
	lines := bufio.NewReader(log)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return 0
		}
		if m := said.FindStringSubmatch(line); m != nil {
			go io.Copy(io.Discard, lines)
			dropped, _ = strconv.ParseUint(m[1], 10, 64)
			return dropped
		}
	}
}

// TestLogReaderGoes: a reader that is gone is no reason to end (EPIPE), and a failure to start says so where it can.
func TestLogReaderGoes(t *testing.T) {
	reader, stderr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	reader.Close()
	defer stderr.Close()
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{
		Upstream: "host=127.0.0.1 port=1 user=x", Stderr: stderr, NoWait: true,
	})
	var st admin.Status
	pgtest.WaitFor(t, programLimit, "lines that nobody takes", func() (bool, error) {
		code, _, err := proxy.Get(t.Context(), "/healthz")
		if err != nil || code != http.StatusOK {
			return false, nil
		}
		proxy.Status(t, &st)
		return st.LogDropped > 0, nil
	})
	if code := proxy.Terminate(t); code != exitOK {
		t.Errorf("SIGTERM: exit code %d", code)
	}
}

// TestSystemdStandsStill: a notify socket that takes nothing more holds up neither the start nor the end.
func TestSystemdStandsStill(t *testing.T) {
	path := filepath.Join(pgtest.Usual(t).TempDir(t), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	// One sender may be stopped by its own buffer. Full is the socket when a new one has no room for its first word.
	for sent := 1; sent > 0; {
		full, err := net.Dial("unixgram", path)
		if err != nil {
			t.Fatal(err)
		}
		defer full.Close()
		for sent, err = -1, nil; err == nil; sent++ {
			full.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
			_, err = full.Write([]byte("X=1"))
		}
	}
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{
		Upstream: "host=127.0.0.1 port=1 user=x", NoWait: true, Env: []string{"NOTIFY_SOCKET=" + path},
	})
	pgtest.WaitFor(t, programLimit, "the proxy to serve", func() (bool, error) {
		return strings.Contains(proxy.Log(), "listening for"), nil
	})
	proxy.Signal(syscall.SIGHUP)
	pgtest.WaitFor(t, programLimit, "SIGHUP to be answered", func() (bool, error) {
		return strings.Contains(proxy.Log(), "configuration reloaded"), nil
	})
	if code := proxy.Terminate(t); code != exitOK {
		t.Errorf("SIGTERM: exit code %d", code)
	}
	if want := "i/o timeout"; !strings.Contains(proxy.Log(), want) {
		t.Errorf("the log has no %q", want)
	}
}
