package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// programLimit ends a program that should have ended by itself.
const programLimit = 2 * time.Minute

// program runs the binary to its end, with a clean environment.
func program(t *testing.T, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), programLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, pgtest.Binary(t), args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("replproxy %s: %v", strings.Join(args, " "), err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// TestExitCodes is the contract: 2 for what the user said wrong, 1 for what went wrong.
func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.yml")
	if err := os.WriteFile(broken, []byte("upstream:\n  conninfo: host=db1 password=geheim\nwal:\n  keep_size: 1 gigabyte\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	noCertificate := filepath.Join(dir, "tls.yml")
	if err := os.WriteFile(noCertificate, []byte("upstream: {conninfo: host=db1}\n"+
		"tls: {mode: allow, cert_file: "+dir+"/absent, key_file: /x}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(dir, "foreign")
	if err := os.MkdirAll(foreign, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(foreign, "PG_VERSION"), []byte("15\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	lonely := filepath.Join(dir, "lonely.yml") // of a cluster whose members are not written yet
	if err := os.WriteFile(lonely, []byte("name: a\ndata_dir: "+filepath.Join(dir, "lonely")+"\ncluster:\n  bind: 127.0.0.1:7946\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	elsewhere, silent := filepath.Join(dir, "elsewhere.yml"), filepath.Join(dir, "silent.yml")
	for path, http := range map[string]string{
		elsewhere: "http: 0.0.0.0:2\nhttp_cert_file: /x\nhttp_key_file: /y\n", silent: "http: ''\n",
	} {
		if err := os.WriteFile(path, []byte("upstream: {conninfo: host=db1}\n"+http), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	up := "--upstream=host=127.0.0.1 port=1 user=nobody password=geheim"
	for _, c := range []struct {
		name string
		args []string
		code int
		out  string // in stdout
		err  string // in stderr
	}{
		{"version", []string{"version"}, 0, "PostgreSQL 14, 15, 16, 17, 18", ""},
		{"help", []string{"--help"}, 0, "replproxy demo", ""},
		{"nothing", nil, 0, "Usage:", ""},
		{"--version", []string{"--version"}, 0, "PostgreSQL 14, 15, 16, 17, 18", ""},
		{"a command nearly", []string{"stauts"}, 2, "", `unknown command "stauts" for "replproxy"; did you mean status?`},
		{"another tool's word", []string{"start"}, 2, "", "did you mean run?"},
		{"a flag nearly", []string{"status", "--jsn"}, 2, "", "unknown flag: --jsn; did you mean --json? (replproxy status --help lists"},
		{"completion", []string{"completion", "bash"}, 0, "__start_replproxy", ""},
		{"completion of no shell", []string{"completion", "powershel"}, 2, "", `"replproxy completion"; did you mean powershell?`},
		{"what completes", []string{"__complete", "stat"}, 0, "status\tPrint what a running proxy", ""},
		{"man", []string{"man", filepath.Join(dir, "man", "man1")}, 0, "", ""},
		{"man below a file", []string{"man", filepath.Join(broken, "x")}, 1, "", "write manual pages:"},
		{"wal-fetch by two", []string{"wal-fetch", "-c", elsewhere, "--from", "host=b", "f", "p"}, 255, "", "-c and --from"},
		{"wal-fetch by a broken file", []string{"wal-fetch", "-c", broken, "f", "p"}, 255, "", "HINT: --from CONNINFO"},
		{"unknown command", []string{"frobnicate"}, 2, "", `unknown command "frobnicate"`},
		{"unknown flag", []string{"run", "--frobnicate"}, 2, "", "unknown flag: --frobnicate (replproxy run --help lists the flags)"},
		{"argument too many", []string{"run", "now"}, 2, "", `unknown command "now"`},
		{"wal-fetch", []string{"wal-fetch", "000000010000000000000001"}, 255, "", "wants %f and %p"},
		{"wal-fetch from nonsense", []string{"wal-fetch", "--from", "hots=b", "000000010000000000000001", "x"}, 255, "", "--from: parse conninfo:"},
		{"wal-fetch from nobody", []string{"wal-fetch", "--from", "host=127.0.0.1 port=1", "000000010000000000000001", "x"}, 255, "",
			"fetch 000000010000000000000001: --from: connection to server at"},
		{"no upstream", []string{"run"}, 2, "", "upstream.conninfo: is not set"},
		{"rule", []string{"run", up, "--synchronous-standby-names", "ANY 1 (proxy-a)"}, 2, "", `syntax error at or near "-"; HINT: names`},
		{"broken file", []string{"run", "-c", broken}, 2, "", broken + `:4:14: wal.keep_size: "1 gigabyte" has no unit`},
		{"caret", []string{"check", "-c", broken}, 2, "", "\n      |              ^\n"},
		{"no certificate", []string{"run", "-c", noCertificate}, 2, "", ":2:31: tls.cert_file: could not load server certificate file"},
		{"check without certificate", []string{"check", "-c", noCertificate}, 2, "", "tls.cert_file: could not load"},
		{"verify-full without roots", []string{"run", up + " sslmode=verify-full"}, 2, "", "sslrootcert=system"},
		{"no such file", []string{"run", "-c", filepath.Join(dir, "absent.yml")}, 2, "", `leave out -c, or begin with the commented reference, which "replproxy reference" prints`},
		{"reference", []string{"reference"}, 0, "data_dir: ", ""},
		{"conninfo in a flag", []string{"run", "--upstream", "host=a hots=b"}, 2, "", "--upstream: parse conninfo:"},
		{"foreign directory", []string{"run", up, "--allow-root", "--data-dir", foreign}, 1, "", "looks like the data directory of a PostgreSQL server"},
		{"directory below a file", []string{"run", up, "--allow-root", "--data-dir", broken + "/x"}, 1, "", "must be able to write to data_dir"},
		{"port in use", []string{"run", up, "--allow-root", "--data-dir", filepath.Join(dir, "d"), "--listen", "256.0.0.1:1"}, 1, "", "listen on"},
		{"check without server", []string{"check", up, "--data-dir", filepath.Join(dir, "d2")}, 1, "fail  upstream", ""},
		{"check as JSON", []string{"check", up, "--json", "--data-dir", filepath.Join(dir, "d2")}, 1, `"passed": false`, ""},
		{"status without proxy", []string{"status", "--http", "127.0.0.1:1"}, 1, "", "no proxy answers at http://127.0.0.1:1"},
		{"status of nonsense", []string{"status", "--http", "nonsense"}, 2, "", "is not host:port"},
		{"status by a file", []string{"status", "-c", elsewhere}, 1, "", "no proxy answers at https://127.0.0.1:2"},
		{"status by a file without http", []string{"status", "-c", silent}, 2, "", "turns http off"},
		{"status by a broken file", []string{"status", "-c", broken}, 2, "", "HINT: --http ADDRESS"},
		{"fence by a broken file", []string{"fence", "--timeline", "1", "-c", broken}, 2, "", "HINT: --data-dir DIR"},
		{"tail by a broken file", []string{"tail", "-c", broken}, 2, "", "HINT: --data-dir DIR"},
		{"status of two", []string{"status", "-c", elsewhere, "--http", "127.0.0.1:1"}, 2, "", "-c and --http"},
		{"demo without PostgreSQL", []string{"demo", "--bindir", dir}, 1, "", "has no initdb, postgres"},
		{"fence of nothing", []string{"fence", "--data-dir", dir}, 2, "", "the one to fence is the old primary's"},
		{"identity before the members", []string{"identity", "-c", lonely}, 0, "a ", ""},
		{"run before the members", []string{"run", "-c", lonely, up}, 2, "", "cluster.members: names no other proxy"},
		{"tail without proxy", []string{"tail", "--data-dir", dir}, 1, "", "is -c or --data-dir the proxy's?"},
		{"tail with half an end", []string{"tail", "--end", "s1"}, 2, "", `--end: "s1" is not NAME=LSN`},
		{"tail in PostgreSQL's units", []string{"tail", "--wait", "1min", "--candidate", "s1", "--data-dir", dir}, 1, "", "no proxy answers"},
		{"tail in Go's", []string{"tail", "--wait", "1m0s", "--candidate", "s1", "--data-dir", dir}, 1, "", "no proxy answers"},
		{"tail in other units", []string{"tail", "--wait", "1 minute"}, 2, "", `valid units are "us", "ms", "s", "min"`},
		{"tail waits for nobody", []string{"tail", "--wait", "1s"}, 2, "", "--wait needs a --candidate"},
		{"forget nobody", []string{"forget"}, 2, "", "accepts 1 arg(s)"},
		{"forget without proxy", []string{"forget", "b", "--data-dir", dir}, 1, "", "NOT FORGOTTEN by a proxy in "},
		{"drop-rule without proxy", []string{"drop-rule", "--data-dir", dir}, 1, "", "NOT DROPPED by a proxy in "},
		{"fence without proxy", []string{"fence", "--timeline", "1", "--data-dir", dir}, 1, "", "NOT FENCED by a proxy in "},
		{"fence elsewhere", []string{"fence", "--timeline", "1", "--data-dir", dir}, 1, "", "is -c or --data-dir the proxy's?"},
		{"demo for no time", []string{"demo", "--duration", "0"}, 2, "", "--duration"},
		{"demo of too many", []string{"demo", "--standbys", "99"}, 2, "", "--standbys: 99"},
	} {
		code, out, errs := program(t, nil, c.args...)
		if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(errs, c.err) {
			t.Errorf("%s: exit code %d, want %d\nstdout: %s\nstderr: %s\nwant %q and %q", c.name, code, c.code, out, errs, c.out, c.err)
		}
		if strings.Contains(out+errs, "geheim") {
			t.Errorf("%s: a password was printed:\n%s%s", c.name, out, errs)
		}
	}
	if page, err := os.ReadFile(filepath.Join(dir, "man", "man1", "replproxy-tail.1")); err != nil ||
		!strings.Contains(string(page), "Exit codes: 0 the candidate is proven") || strings.Contains(string(page), "cobra") {
		t.Errorf("the manual page of tail: %v\n%.300s", err, page)
	}
	if _, err := os.Stat(filepath.Join(dir, "d2")); err == nil {
		t.Error("check made the data directory")
	}
}
