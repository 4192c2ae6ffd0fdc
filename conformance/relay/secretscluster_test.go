package relay

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// TestSecretsOfAClusterStayInside is TestSecretsStayInside for a cluster with auth.method: scram. Its secrets are the
// keys of the gossip, the nodes' private keys, verifiers from the primary and from auth.users_file, the secret of
// unknown roles, and a password from the environment. Files are broken meanwhile, and at the end a proxy is made to
// dump its stacks.
func TestSecretsOfAClusterStayInside(t *testing.T) {
	const password, planted = "PLANTEDenvironment7321", "PLANTEDinTheFile7321"
	in := pgtest.Need(t, 15)
	primary := in.Primary(t, pgtest.SCRAM(password))
	primary.Exec(t, "CREATE ROLE app LOGIN REPLICATION PASSWORD 'PLANTEDapp7321'")
	primary.Exec(t, "CREATE ROLE replproxy") // to whom the function is granted
	primary.Exec(t, scene.AuthFunction(t))
	verifiers := primary.SQL(t, "SELECT rolpassword FROM pg_authid WHERE rolpassword IS NOT NULL")
	upstream := fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=postgres sslmode=disable", primary.Port)

	var all []*pgtest.Proxy
	var binds []string
	for _, name := range []string{"a", "b"} {
		all = append(all, pgtest.StartProxy(t, pgtest.ProxyOptions{Name: name, Upstream: upstream, Config: "{}\n", Stopped: true,
			Password: password, Env: []string{"PGPASSWORD=" + password}}))
		binds = append(binds, fmt.Sprintf("127.0.0.1:%d", pgtest.FreePort(t)))
	}
	a := all[0]
	usersFile := filepath.Join(a.SocketDir, "users")
	users := func(more string) {
		a.WriteFile(t, usersFile, fmt.Sprintf("\"filed\" %q\n%s", verifiers[0][0], more))
	}
	users("")
	var configs []string
	for i, cluster := range pgtest.Cluster(t, binds, all...) {
		configs = append(configs, "log_level: debug\naccess: [\"host all,replication all all scram-sha-256\"]\n"+cluster+
			"auth:\n  method: scram\n  query: SELECT * FROM replproxy.auth($1)\n")
		if i == 0 {
			configs[0] += "  users_file: " + usersFile + "\n"
		}
		all[i].Configure(t, configs[i])
		all[i].StartNoWait(t)
	}
	for _, p := range all {
		p.WaitReady(t)
	}

	said := map[string]string{}
	get := func(when string) {
		t.Helper()
		for _, path := range []string{"/", "/status", "/metrics", "/tail"} {
			code, body, err := a.Get(t.Context(), path)
			if said[path+" "+when] = string(body); err != nil || code != 200 {
				t.Errorf("%s: %d, %v", path, code, err)
			}
		}
	}
	logged := func(what string) {
		t.Helper()
		pgtest.WaitFor(t, time.Minute, "the log to say: "+what, func() (bool, error) { return strings.Contains(a.Log(), what), nil })
	}
	app := []string{"user=app", "password=PLANTEDapp7321"}
	said["log-ins"] = fmt.Sprint(a.SQL(t, "SELECT 1", app...), refusedWith(t, a.Conninfo("user=app", "password=PLANTEDwrong")),
		refusedWith(t, a.Conninfo("user=filed", "password=PLANTEDwrong")), refusedWith(t, a.Conninfo("user=nobody")))
	for _, what := range []string{"STATUS", "UPSTREAM", "VERSION", "SSL", "STANDBYS", "SLOTS"} {
		said["SHOW "+what] = fmt.Sprint(a.SQL(t, "SHOW "+what, append(app, "dbname=replproxy")...))
	}
	get("")
	http := fmt.Sprintf("127.0.0.1:%d", a.HTTPPort)
	said["status"] = a.Program(t, "status", "--http", http) + a.Program(t, "status", "--json", "--http", http)
	said["identity"] = a.Program(t, "identity", "--name", "a", "--data-dir", a.DataDir, "--upstream", upstream)
	file := filepath.Join(a.SocketDir, "replproxy.yml")
	said["check"] = output(t, a, "check", "-c", file, "--name", "a", "--upstream", upstream, "--data-dir", t.TempDir())

	users("\"broken\" \"SCRAM-SHA-256$4096:" + planted + "\"\n")
	said["log-in by a broken users file"] = refusedWith(t, a.Conninfo("user=filed", "password=PLANTEDwrong"))
	logged("auth.users_file has changed and cannot be used")
	keyFile := filepath.Join(a.SocketDir, "key")
	gossip := readFile(t, keyFile)
	a.WriteFile(t, keyFile, gossip+planted+"\n")
	a.Signal(syscall.SIGHUP)
	logged("key, line 2: not 16, 24 or 32 bytes")
	a.WriteFile(t, keyFile, gossip)
	for _, broken := range []string{
		"upstream:\n  password: " + planted + "\n", "http_token: " + planted + "\n", "restore: \"" + planted + "\n", planted + "\n",
		"*:*:*:*:" + planted + "\n", "upstream: {conninfo: \"host=x password='" + planted + " " + planted + "\"\n",
		"cluster: {key: " + planted + "}\n", "postgresql://u:" + planted + "@h/db\n",
	} {
		n := strings.Count(a.Log(), "was not reloaded")
		a.Configure(t, broken+configs[0])
		a.Signal(syscall.SIGHUP)
		pgtest.WaitFor(t, time.Minute, "the reload to fail of "+broken, func() (bool, error) {
			return strings.Count(a.Log(), "was not reloaded") > n, nil
		})
		a.WriteFile(t, file+".broken", broken)
		said["check of "+broken] = output(t, a, "check", "-c", file+".broken")
	}
	get("after all that")

	node := readFile(t, filepath.Join(a.DataDir, "cluster", "node.key"))
	mock := readFile(t, filepath.Join(a.DataDir, "auth", "mock_cluster"))
	secrets := []string{"PLANTED", hex.EncodeToString([]byte(mock)), base64.StdEncoding.EncodeToString([]byte(mock)), mock,
		strings.TrimSpace(gossip), string(make([]byte, 32))}
	for _, text := range []string{node, fmt.Sprint(verifiers)} {
		secrets = append(secrets, regexp.MustCompile(`[A-Za-z0-9+/=]{20,}`).FindAllString(text, -1)...)
	}
	if len(secrets) < 6+1+6 {
		t.Fatalf("only %d secrets: %q", len(secrets), secrets)
	}
	pgtest.WaitFor(t, time.Minute, "the verifiers to be where they are expected", func() (bool, error) {
		kept, _ := os.ReadFile(filepath.Join(a.DataDir, "auth", "roles"))
		return strings.Contains(string(kept), secrets[len(secrets)-1]), nil
	})
	a.Signal(syscall.SIGABRT)
	if code := a.WaitExit(t); code != -1 || !strings.Contains(a.Log(), "goroutine ") {
		t.Errorf("exit code %d", code)
	}
	said["log"], said["log of b"] = a.Log(), all[1].Log()
	for where, text := range said {
		for _, secret := range secrets {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s shows a secret: …%.200s", where, text[max(0, i-80):])
			}
		}
	}
	for _, path := range []string{"cluster/node.key", "auth/roles", "auth/mock_cluster"} {
		if st, err := os.Stat(filepath.Join(a.DataDir, path)); err != nil || st.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", path, st, err)
		}
	}
}
