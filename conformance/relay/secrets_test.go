package relay

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// TestSecretsStayInside plants a word in every setting that holds a secret. It looks for that word, and for parts of
// the private keys, in all output of the program. That is the log at debug level, status, metrics, page, console,
// errors of a reload, and the commands status and check. The http port has TLS and a token meanwhile.
func TestSecretsStayInside(t *testing.T) {
	const password, token, conninfoPassword = "PLANTEDpassfile7321", "PLANTEDtoken0123456789", "PLANTEDconninfo7321"
	in := pgtest.Need(t, 15)
	primary := in.Primary(t, pgtest.SCRAM(password))
	dir := in.TempDir(t)
	ca := pgtest.NewAuthority(t, "ca")
	cert := ca.Issue(t, pkix.Name{CommonName: "proxy"}, "127.0.0.1")
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Stopped: true, Password: password, Config: "placeholder: true\n"})
	tokenFile, passFile := filepath.Join(dir, "token"), filepath.Join(dir, "pgpass")
	proxy.WriteFile(t, tokenFile, token+"\n")
	proxy.WriteFile(t, passFile, "*:*:*:*:"+password+"\n")
	config := func(rest string) string {
		return fmt.Sprintf(`log_level: debug
upstream: {conninfo: "host=127.0.0.1 port=%d user=postgres dbname=postgres sslmode=disable passfile=%s"}
http_cert_file: %s
http_key_file: %s
http_token_file: %s
tls: {mode: allow, cert_file: %[3]s, key_file: %[4]s}
access: ["local all all relay", "host all,replication postgres 127.0.0.0/8 relay"]
%[6]s`, primary.Port, passFile, cert.CertFile, cert.KeyFile, tokenFile, rest)
	}
	proxy.Configure(t, config(""))
	proxy.StartNoWait(t)
	base := fmt.Sprintf("https://127.0.0.1:%d", proxy.HTTPPort)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.PEM)
	get := func(path, bearer string) (int, string) {
		transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots}}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+bearer)
		resp, err := (&http.Client{Transport: transport}).Do(req)
		if err != nil {
			return 0, err.Error()
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	pgtest.WaitFor(t, time.Minute, "the proxy to be ready", func() (bool, error) {
		code, _ := get("/readyz", "")
		return code == http.StatusOK, nil
	})

	said := map[string]string{}
	for _, path := range []string{"/", "/page.js", "/status", "/metrics", "/tail", "/healthz", "/readyz"} {
		code, body := get(path, token)
		if said["GET "+path] = body; code != http.StatusOK {
			t.Errorf("%s: %d", path, code)
		}
		_, said["GET "+path+" without the token"] = get(path, "wrong")
	}
	if code, _ := get("/status", ""); code != http.StatusUnauthorized {
		t.Errorf("/status without the token: %d", code)
	}
	said["console"] = fmt.Sprint(proxy.SQL(t, "SHOW UPSTREAM", "dbname=replproxy"), proxy.SQL(t, "SHOW STATUS", "dbname=replproxy"))
	proxy.SQL(t, "SELECT 1")
	said["refused log-in"] = refusedWith(t, proxy.Conninfo("password=PLANTEDwrong")) + refusedWith(t, proxy.Conninfo("user=nobody"))
	said["status"] = proxy.Program(t, "status", "--http", base, "--http-token-file", tokenFile, "--http-ca-file", ca.File)
	said["status --json"] = proxy.Program(t, "status", "--json", "--http", base, "--http-token-file", tokenFile, "--http-ca-file", ca.File)
	said["check"] = output(t, proxy, "check", "-c", filepath.Join(proxy.SocketDir, "replproxy.yml"), "--data-dir", proxy.DataDir)
	said["status without the token"] = output(t, proxy, "status", "--http", base, "--http-ca-file", ca.File)
	said["check with a password in conninfo"] = output(t, proxy, "check", "--upstream",
		fmt.Sprintf("host=127.0.0.1 port=%d user=nobody dbname=postgres password=%s", primary.Port, conninfoPassword))
	said["check of a conninfo with errors"] = output(t, proxy, "check", "--upstream", "nonsense=1 password="+conninfoPassword)
	said["reload"] = reloadFails(t, proxy, get, token, config("upstream: {conninfo: \"password="+conninfoPassword+"\"}\n"))
	proxy.Configure(t, strings.Replace(config(""), "passfile="+passFile, "password="+conninfoPassword, 1))
	proxy.Signal(syscall.SIGHUP)
	pgtest.WaitFor(t, time.Minute, "the reload", func() (bool, error) {
		return strings.Contains(proxy.Log(), "key=upstream.conninfo"), nil
	})
	said["limits"] = readFile(t, fmt.Sprintf("/proc/%d/limits", proxy.PID()))
	if !strings.Contains(said["limits"], "Max core file size        1                    1 ") {
		t.Errorf("core dumps are possible:\n%s", said["limits"])
	}
	said["log"] = proxy.Log()
	if !strings.Contains(said["log"], "level=DEBUG") || !strings.Contains(said["GET /status"], `"listen"`) || len(said["console"]) < 100 {
		t.Error("not everything was looked at")
	}

	secrets := []string{"PLANTED"}
	for _, line := range strings.Split(string(cert.KeyPEM), "\n") {
		if len(line) > 20 && !strings.HasPrefix(line, "-----") {
			secrets = append(secrets, line)
		}
	}
	for where, text := range said {
		for _, secret := range secrets {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s shows a secret: …%.120s", where, text[max(0, i-60):])
			}
		}
	}
}

// reloadFails gives the proxy a file that it refuses and returns what it says about it.
func reloadFails(t *testing.T, proxy *pgtest.Proxy, get func(path, bearer string) (int, string), token, content string) string {
	t.Helper()
	proxy.Configure(t, content)
	proxy.Signal(syscall.SIGHUP)
	var body string
	pgtest.WaitFor(t, time.Minute, "the reload to fail", func() (bool, error) {
		_, body = get("/status", token)
		return strings.Contains(body, "last_error") && strings.Contains(proxy.Log(), "was not reloaded"), nil
	})
	return body
}

// output returns the output of a command, whatever its exit code.
func output(t *testing.T, proxy *pgtest.Proxy, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, _ := exec.CommandContext(ctx, pgtest.Binary(t), args...).CombinedOutput()
	if len(out) == 0 {
		t.Errorf("replproxy %s says nothing", strings.Join(args, " "))
	}
	return string(out)
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
