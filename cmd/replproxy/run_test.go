package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/proxy/admin"
)

// TestRunStatusCheck is one proxy in front of one primary, seen by its commands.
func TestRunStatusCheck(t *testing.T) {
	in := pgtest.Need(t, 15)
	primary := in.Primary(t)
	primary.Exec(t, "SELECT pg_create_physical_replication_slot('forgotten', true)")
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: primary.Conninfo(), Name: "proxy-a", Args: []string{"--pprof"}})
	standby := in.Standby(t, pgtest.StandbyOptions{From: primary, PrimaryConninfo: proxy.Conninfo("application_name=s1")})
	pgtest.WaitCaughtUp(t, primary, standby)
	var st admin.Status
	pgtest.WaitFor(t, time.Minute, "the standby to stream", func() (bool, error) {
		proxy.Status(t, &st)
		return len(st.Standbys) == 1 && st.Standbys[0].State == "streaming" && len(st.Idle) == 1, nil
	})
	if i := st.Idle[0]; i.Name != "forgotten" || i.Restart == 0 || i.HeldBytes <= 0 || i.Real != "" {
		t.Errorf("idle on the primary: %+v", i)
	}

	// As synchronous_standby_names wants it written (ruling R23).
	if want := `name_for_synchronous_standby_names="\"proxy-a\""`; !strings.Contains(proxy.Log(), want) {
		t.Errorf("the log has no %s:\n%s", want, proxy.Log())
	}

	http := fmt.Sprintf("127.0.0.1:%d", proxy.HTTPPort)
	code, out, errs := program(t, nil, "status", "--http", http)
	for _, want := range []string{"proxy-a, ready", "streaming", "slot replproxy_proxy_a", "timeline 1", "s1", "forgotten"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("status: exit code %d, no %q in\n%s%s", code, want, out, errs)
		}
	}
	file := filepath.Join(in.TempDir(t), "replproxy.yml")
	proxy.WriteFile(t, file, "http: "+http+"\nupstream: {conninfo: host=db1}\n")
	if code, out, errs = program(t, nil, "status", "-c", file); code != 0 || !strings.Contains(out, "proxy-a, ready") {
		t.Errorf("status -c: exit code %d\n%s%s", code, out, errs)
	}
	code, out, errs = program(t, nil, "status", "--json", "--http", http)
	st = admin.Status{}
	if err := json.Unmarshal([]byte(out), &st); err != nil || code != 0 {
		t.Fatalf("status --json: %d, %v\n%s%s", code, err, out, errs)
	}
	if !st.Ready || len(st.Standbys) != 1 || st.Standbys[0].ApplicationName != "s1" || st.Sessions.Physical != 1 ||
		st.Upstream.Slot != "replproxy_proxy_a" || st.Store.SegSize != 16<<20 || st.Store.FreeBytes <= 0 {
		t.Errorf("status --json: %s", out)
	}
	if code, body, err := proxy.Get(t.Context(), "/debug/pprof/"); code != 200 || err != nil {
		t.Errorf("profiles were asked for: %d %s %v", code, body, err)
	}
	if log := proxy.Log(); !strings.Contains(log, `name_for_synchronous_standby_names="\"proxy-a\""`) {
		t.Errorf("the quoted name was not told:\n%s", log)
	}

	code, out, errs = program(t, nil, "check", "--upstream", primary.Conninfo(), "--name", "proxy-b", "--data-dir", in.TempDir(t))
	if code != 0 || !strings.Contains(out, `"replproxy_proxy_b" does not exist yet`) || strings.Contains(out, "fail") ||
		!strings.Contains(out, "holding WAL on the primary: forgotten (physical, ") {
		t.Errorf("check: exit code %d\n%s%s", code, out, errs)
	}
	_, out, _ = program(t, nil, "check", "--upstream", primary.Conninfo(), "--name", "proxy-a", "--data-dir", proxy.DataDir,
		"--listen", fmt.Sprintf("127.0.0.1:%d", proxy.Port), "--standby", standby.Conninfo(), "--standby", primary.Conninfo())
	for _, want := range []string{"standby s1 ", "it has no primary_slot_name", "is no standby: it is not in recovery",
		"ok    clock", "ok    fsync of data_dir", "ok    wal_sender_timeout", "until its disk is full: alert on it"} {
		if !strings.Contains(out, want) || strings.Contains(out, "does not listen on that port") {
			t.Errorf("check of a standby: no %q in\n%s", want, out)
		}
	}
	if !strings.Contains(out, `"replproxy_proxy_a" is in use`) {
		t.Errorf("check beside the proxy itself:\n%s", out)
	}

	second := pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: primary.Conninfo(), DataDir: proxy.DataDir, Stopped: true})
	second.StartNoWait(t)
	if code := second.WaitExit(t); code != exitFailure ||
		!strings.Contains(second.Log(), fmt.Sprintf("used by another replproxy (pid %d)", proxy.PID())) {
		t.Errorf("a second proxy on the directory: exit code %d\n%s", code, second.Log())
	}
}

// TestCheckSaysWhatToDo runs check against servers that are not ready for a proxy.
func TestCheckSaysWhatToDo(t *testing.T) {
	in := pgtest.Need(t, 15)
	dir := in.TempDir(t)
	minimal := in.Primary(t, pgtest.Settings("wal_level = minimal", "max_wal_senders = 0"))
	code, out, _ := program(t, nil, "check", "--upstream", minimal.Conninfo(), "--data-dir", dir)
	if code != exitFailure || !strings.Contains(out, "fail  upstream") || !strings.Contains(out, "max_wal_senders") ||
		!strings.Contains(out, "fail  wal_level") || !strings.HasSuffix(out, " fail\n") {
		t.Errorf("wal_level minimal: exit code %d\n%s", code, out)
	}
	closed := in.Primary(t, pgtest.SCRAM("right"), pgtest.HBA("host all all 127.0.0.1/32 scram-sha-256"))
	code, out, _ = program(t, nil, "check", "--upstream", closed.Conninfo(), "--data-dir", dir)
	if code != exitFailure || !strings.Contains(out, "pg_hba.conf, as in \"host replication") || strings.Contains(out, "right") {
		t.Errorf("no line for replication: exit code %d\n%s", code, out)
	}
	code, out, _ = program(t, nil, "check", "--upstream", closed.Conninfo("password=wrong", "dbname=postgres"), "--data-dir", dir)
	if code != exitFailure || strings.Contains(out, "wrong") {
		t.Errorf("wrong password: exit code %d\n%s", code, out)
	}
}

// TestCheckOfAnotherStore: data_dir holds the WAL of a primary that was made anew since, or of another one.
func TestCheckOfAnotherStore(t *testing.T) {
	in := pgtest.Need(t, 15)
	first, other := in.Primary(t), in.Primary(t)
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: first.Conninfo()})
	proxy.Terminate(t)
	code, out, _ := program(t, nil, "check", "--upstream", first.Conninfo(), "--name", "proxy", "--data-dir", proxy.DataDir)
	if code != 0 || !strings.Contains(out, "is of this database system") {
		t.Errorf("its own: exit code %d\n%s", code, out)
	}
	code, out, _ = program(t, nil, "check", "--upstream", other.Conninfo(), "--name", "proxy", "--data-dir", proxy.DataDir)
	if code != exitFailure || !strings.Contains(out, "fail  data_dir and upstream") || !strings.Contains(out, "run streams nothing") {
		t.Errorf("another's: exit code %d\n%s", code, out)
	}
}

// TestTrapsAreTold is R27: the primary waits for us, or for a standby that only we can see.
func TestTrapsAreTold(t *testing.T) {
	in := pgtest.Need(t, 15)
	primary := in.Primary(t, pgtest.Settings("synchronous_standby_names = 'ANY 1 (proxy, lost)'"))
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: primary.Conninfo()})
	in.Standby(t, pgtest.StandbyOptions{From: primary, PrimaryConninfo: proxy.Conninfo("application_name=lost")})
	pgtest.WaitFor(t, time.Minute, "both warnings", func() (bool, error) {
		var st admin.Status
		proxy.Status(t, &st)
		text := strings.Join(st.Warnings, "\n")
		return strings.Contains(text, "whose own rule is empty") && strings.Contains(text, "names lost, which is behind"), nil
	})
	if log := proxy.Log(); strings.Count(log, "whose own rule is empty") != 1 {
		t.Errorf("the warning was not logged once:\n%s", log)
	}
	_, out, _ := program(t, nil, "check", "--upstream", primary.Conninfo(), "--name", "proxy", "--data-dir", in.TempDir(t))
	if !strings.Contains(out, "warn  synchronous_standby_names") {
		t.Errorf("check:\n%s", out)
	}
}

// TestSynchronizedSlotsAreTold: the primary's logical walsenders wait for the proxy's own slot, and so for
// its rule (R11), and for a mirror that says nothing about its standby (R18).
func TestSynchronizedSlotsAreTold(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		primary := in.Primary(t, pgtest.Settings("synchronized_standby_slots = 'replproxy_proxy, s1'"))
		config := "synchronous_standby_names: s1\nslots: {mirror: presence}\n"
		proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: primary.Conninfo(), Config: config})
		proxy.SQL(t, "CREATE_REPLICATION_SLOT s1 PHYSICAL", "replication=true")
		want := []string{"names this proxy's slot replproxy_proxy", "names s1, which slots.mirror: presence advances"}
		pgtest.WaitFor(t, time.Minute, "both warnings", func() (bool, error) {
			var st admin.Status
			proxy.Status(t, &st)
			text := strings.Join(st.Warnings, "\n")
			return strings.Contains(text, want[0]) && strings.Contains(text, want[1]), nil
		})
		file := filepath.Join(in.TempDir(t), "replproxy.yml")
		proxy.WriteFile(t, file, config)
		_, out, _ := program(t, nil, "check", "-c", file, "--upstream", primary.Conninfo(), "--name", "proxy",
			"--data-dir", proxy.DataDir)
		for _, text := range append(want, "Take it out of synchronized_standby_slots", "slots.rule_gate is for that list") {
			if !strings.Contains(out, text) {
				t.Errorf("check does not say %q:\n%s", text, out)
			}
		}
	}, 17, 18)
}

// TestSignals: the first ends in order with code 0, a second one at once unless it comes in the same moment.
func TestSignals(t *testing.T) {
	in := pgtest.Need(t, 15)
	primary := in.Primary(t)
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: primary.Conninfo()})
	proxy.Signal(syscall.SIGHUP)
	pgtest.WaitFor(t, time.Minute, "SIGHUP to be answered", func() (bool, error) {
		return strings.Contains(proxy.Log(), "configuration reloaded"), nil
	})
	if code := proxy.Terminate(t); code != exitOK {
		t.Errorf("SIGTERM: exit code %d", code)
	}
	if _, stop, begun := strings.Cut(proxy.Log(), "a stop has begun"); !begun || !strings.Contains(stop, "msg=stopped") {
		t.Error("the log does not tell of the stop")
	}
	proxy.Start(t)
	// A session in the way of an orderly end.
	conn := pgtest.Connect(t, proxy.Conninfo())
	defer conn.Close(t.Context())
	proxy.Signal(syscall.SIGTERM)
	proxy.Signal(syscall.SIGINT) // the same wish, as timeout sends it to a process and its group
	var stopping time.Time
	pgtest.WaitFor(t, time.Minute, "the orderly end to begin", func() (bool, error) {
		code, body, err := proxy.Get(t.Context(), "/readyz")
		if stopping.IsZero() && err == nil && code == 503 && strings.Contains(string(body), "stopping") {
			stopping = time.Now()
		}
		return !stopping.IsZero() && time.Since(stopping) >= sameWish, nil // a signal is a second one from here
	})
	proxy.Signal(syscall.SIGINT)
	if code := proxy.WaitExit(t); code != exitFailure {
		t.Errorf("second signal: exit code %d", code)
	}
}

// TestSystemd: READY when the listeners are served, WATCHDOG when all parts were looked at, RELOADING and READY around a reload, STOPPING when the
// end begins.
func TestSystemd(t *testing.T) {
	dir := t.TempDir()
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: filepath.Join(dir, "notify")})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	cmd := exec.Command(pgtest.Binary(t), "run", "--allow-root", "--upstream", "host=127.0.0.1 port=1 user=x", "--data-dir", filepath.Join(dir, "data"),
		"--listen", "127.0.0.1:0", "--http", "")
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket.LocalAddr().String(),
		"WATCHDOG_USEC=1200000000") // notified at once, and again when the test is long over
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	expect := func(want string) {
		t.Helper()
		buf := make([]byte, 100)
		socket.SetReadDeadline(time.Now().Add(programLimit))
		n, err := socket.Read(buf)
		if same, _ := path.Match(want, string(buf[:n])); err != nil || !same {
			t.Fatalf("got %q, %v; want %s", buf[:n], err, want)
		}
	}
	expect("READY=1")
	expect("WATCHDOG=1")
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	expect("RELOADING=1\nMONOTONIC_USEC=*")
	expect("READY=1")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	expect("STOPPING=1")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// TestAbortIsNoExitCode: a panic, and the watchdog's SIGABRT, end the process by a signal. Go's runtime would exit with 2,
// which is an unusable configuration, and systemd would not start it again.
func TestAbortIsNoExitCode(t *testing.T) {
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Stopped: true, Config: "upstream: {conninfo: \"host=127.0.0.1 port=1 user=x\"}\n"})
	proxy.StartNoWait(t)
	pgtest.WaitFor(t, programLimit, "the proxy to serve", func() (bool, error) {
		return strings.Contains(proxy.Log(), "listening for"), nil
	})
	proxy.Signal(syscall.SIGABRT)
	if code := proxy.WaitExit(t); code != -1 || !strings.Contains(proxy.Log(), "goroutine ") {
		t.Errorf("exit code %d, -1 is a signal\n%s", code, proxy.Log())
	}
}
