package pgtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Bounds on replproxy's start and clean stop. A stop sends standbys what they lack first.
const (
	proxyStartTimeout = 90 * time.Second
	proxyStopTimeout  = 4 * time.Minute
	httpTimeout       = time.Minute
)

// ProxyOptions says how replproxy is run.
type ProxyOptions struct {
	Upstream string   // conninfo
	Name     string   // --name; default "proxy"
	DataDir  string   // default: a new one
	Args     []string // more arguments of run
	Config   string   // content of a file for -c; "": none
	Password string   // of user postgres, for Conninfo
	Env      []string // more of its environment
	Access   []string // --access; nil: [TrustLoopback], unless Config or Args say how clients come in
	Socket   bool     // listen on a unix socket in SocketDir as well
	NoListen bool     // the file says where to listen, not an argument
	NoWait   bool     // do not wait for /readyz
	Stopped  bool     // leave the start to the test
	Host     *Host    // nil: this process's network
	Binary   string   // of another release, see [PreviousRelease]; "": this code's
	Tag      string   // build tag of this code's binary; "": none
	Stderr   *os.File // takes its log instead of the file that Log reads
}

// Proxy is a replproxy, a process of its own, that ends with its test.
type Proxy struct {
	Name      string
	DataDir   string
	SocketDir string // the folder of its unix socket, if there is one
	Port      int    // of 127.0.0.1, or of its host
	HTTPPort  int    // the same

	options ProxyOptions
	bin     string
	older   bool // bin is that of another release
	who     osUser
	logPath string
	proc    *process
	killed  bool // by the test, so the exit code says nothing
}

// StartProxy runs replproxy in front of a server and waits until it is ready. At the end of the test it is asked to
// stop. A test also fails when that takes too long or ends with an exit code other than 0, and when the log has a
// panic or a data race.
func StartProxy(t testing.TB, o ProxyOptions) *Proxy {
	t.Helper()
	who := serverAccount(t)
	dir := tempDir(t, who)
	p := &Proxy{
		Name: o.Name, DataDir: o.DataDir, SocketDir: dir,
		Port: FreePort(t), HTTPPort: FreePort(t),
		options: o, bin: o.Binary, who: who, logPath: filepath.Join(dir, "log"),
	}
	switch p.older = p.bin != "" && p.bin != Binary(t); {
	case p.bin != "":
	case o.Tag != "":
		p.bin = Tagged(t, o.Tag)
	default:
		p.bin = Binary(t)
	}
	if p.Name == "" {
		p.Name = "proxy"
	}
	if p.DataDir == "" {
		p.DataDir = filepath.Join(dir, "data")
	}
	if o.Config != "" {
		if err := writeFile(p.configPath(), []byte(o.Config), who); err != nil {
			t.Fatalf("configure %s: %v", p.Name, err)
		}
	}
	t.Cleanup(func() {
		p.end(t)
		showLog(t, fmt.Sprintf("%s (port %d)", p.Name, p.Port), p.logPath)
	})
	switch {
	case o.Stopped:
	case o.NoWait:
		p.StartNoWait(t)
	default:
		p.Start(t)
	}
	return p
}

func (p *Proxy) configPath() string { return filepath.Join(p.SocketDir, "replproxy.yml") }

// SetArgs replaces [ProxyOptions.Args] from the next start on.
func (p *Proxy) SetArgs(args ...string) { p.options.Args = args }

// Configure replaces the content of the file for -c, which [ProxyOptions.Config] had begun.
func (p *Proxy) Configure(t testing.TB, content string) {
	t.Helper()
	if p.options.Config == "" {
		t.Fatalf("%s was started without a file", p.Name)
	}
	if err := writeFile(p.configPath(), []byte(content), p.who); err != nil {
		t.Fatalf("configure %s: %v", p.Name, err)
	}
}

// Config returns the content of the file for -c.
func (p *Proxy) Config(t testing.TB) string {
	t.Helper()
	content, err := os.ReadFile(p.configPath())
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// Replace changes a text in the file for -c.
func (p *Proxy) Replace(t testing.TB, old, with string) {
	t.Helper()
	content, err := os.ReadFile(p.configPath())
	if err != nil || !strings.Contains(string(content), old) {
		t.Fatalf("no %q in %s: %v", old, p.configPath(), err)
	}
	p.Configure(t, strings.ReplaceAll(string(content), old, with))
}

func (p *Proxy) args() []string {
	args := []string{"run"}
	if p.options.Config != "" {
		args = append(args, "-c", p.configPath())
	}
	if p.options.Upstream != "" {
		args = append(args, "--upstream", p.options.Upstream)
	}
	if p.options.Socket {
		args = append(args, "--listen", "unix:"+p.SocketDir)
	}
	if !p.options.NoListen {
		args = append(args, "--listen", fmt.Sprintf("%s:%d", p.options.Host.address(), p.Port))
	}
	return append(append(args,
		"--http", fmt.Sprintf("%s:%d", p.options.Host.address(), p.HTTPPort),
		"--data-dir", p.DataDir,
		"--name", p.Name), append(p.access(), p.options.Args...)...)
}

// access returns the rules that are given as arguments. A file or arguments with rules of their own, or a proxy that
// verifies clients itself, get none; nor does another release, which may not know the flag.
func (p *Proxy) access() (args []string) {
	if p.older {
		return nil
	}
	rules := p.options.Access
	file, _ := os.ReadFile(p.configPath()) // as it is now; without one there are no rules in it
	said := string(file) + strings.Join(p.options.Args, "\n")
	if rules == nil && !strings.Contains(said, "access:") && !strings.Contains(said, "method: scram") &&
		!slices.Contains(p.options.Args, "--access") {
		rules = TrustLoopback()
	}
	for _, r := range rules {
		args = append(args, "--access", r)
	}
	return args
}

// TrustLoopback has rules of access that let in whoever comes by TCP over loopback though the server asks nothing, as
// these servers do by default. About everybody else the server decides, as it does without rules.
func TrustLoopback() []string {
	return []string{
		"host all,replication all 127.0.0.0/8 trust", "host all,replication all ::1/128 trust",
		"host all,replication all all relay", "local all,replication all relay",
	}
}

// Program runs another command of replproxy as the proxy's user, on its host, and returns what it prints.
func (p *Proxy) Program(t testing.TB, args ...string) string {
	t.Helper()
	cmd := exec.Command(p.bin, args...)
	p.who.prepare(cmd, p.SocketDir, syscall.SIGKILL, p.options.Env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := p.options.Host.Start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		t.Fatalf("replproxy %s: %v\n%s", strings.Join(args, " "), err, &out)
	}
	return out.String()
}

// WriteFile makes a file that belongs to the proxy's user.
func (p *Proxy) WriteFile(t testing.TB, path, content string) {
	t.Helper()
	if err := writeFile(path, []byte(content), p.who); err != nil {
		t.Fatal(err)
	}
}

// Start starts a stopped proxy, with the same ports and data directory, and waits until it is ready.
func (p *Proxy) Start(t testing.TB) {
	t.Helper()
	p.StartNoWait(t)
	p.WaitReady(t)
}

// StartNoWait starts a stopped proxy.
func (p *Proxy) StartNoWait(t testing.TB) {
	t.Helper()
	if p.Running() {
		t.Fatalf("%s runs already", p.Name)
	}
	cmd := exec.Command(p.bin, p.args()...)
	p.who.prepare(cmd, p.SocketDir, syscall.SIGKILL, p.options.Env...)
	p.options.Host.furnish(cmd)
	err := p.options.Host.run(func() (err error) {
		p.proc, err = startProcess(cmd, p.logPath, p.options.Stderr)
		return err
	})
	if err != nil {
		t.Fatalf("start %s: %v", p.Name, err)
	}
	p.killed = false
}

// WaitReady waits until /readyz answers 200.
func (p *Proxy) WaitReady(t testing.TB) {
	t.Helper()
	WaitFor(t, proxyStartTimeout, p.Name+" to be ready", func() (bool, error) {
		if !p.proc.Alive() {
			return false, fmt.Errorf("%s has ended: %w", p.Name, p.proc.Err())
		}
		code, _, err := p.Get(t.Context(), "/readyz")
		return err == nil && code == http.StatusOK, nil
	})
}

// Running reports whether the process runs.
func (p *Proxy) Running() bool { return p.proc != nil && p.proc.Alive() }

// PID returns the process id.
func (p *Proxy) PID() int { return p.proc.PID() }

// Kill9 kills the process and returns when it is gone.
func (p *Proxy) Kill9(t testing.TB) {
	t.Helper()
	if !p.Running() {
		t.Fatalf("%s does not run", p.Name)
	}
	p.killed = true
	p.proc.kill9()
}

// Terminate asks the process to stop and returns when it is gone, with its exit code.
func (p *Proxy) Terminate(t testing.TB) int {
	t.Helper()
	if !p.Running() {
		t.Fatalf("%s does not run", p.Name)
	}
	p.killed = true
	p.proc.Signal(syscall.SIGTERM)
	return p.WaitExit(t)
}

// WaitExit waits for an end that the test expects, and returns the exit code.
func (p *Proxy) WaitExit(t testing.TB) int {
	t.Helper()
	p.killed = true
	if !p.proc.Wait(proxyStopTimeout) {
		t.Fatalf("%s did not end within %v", p.Name, proxyStopTimeout)
	}
	return p.proc.ExitCode()
}

// Signal sends the process a signal.
func (p *Proxy) Signal(sig syscall.Signal) { p.proc.Signal(sig) }

// Restart ends the proxy by Terminate and starts it again.
func (p *Proxy) Restart(t testing.TB) {
	t.Helper()
	if code := p.Terminate(t); code != 0 {
		t.Errorf("%s ended with exit code %d", p.Name, code)
	}
	p.Start(t)
}

// Become ends the proxy by Terminate and starts another release, with the same files.
func (p *Proxy) Become(t testing.TB, binary string) {
	t.Helper()
	if code := p.Terminate(t); code != 0 {
		t.Errorf("%s ended with exit code %d", p.Name, code)
	}
	p.bin, p.older = binary, binary != Binary(t)
	p.Start(t)
}

// Log returns what all runs of this proxy have logged so far.
func (p *Proxy) Log() string {
	text, err := os.ReadFile(p.logPath)
	if err != nil {
		return ""
	}
	return string(text)
}

// Get asks the HTTP listener.
func (p *Proxy) Get(ctx context.Context, path string) (code int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, httpTimeout)
	defer cancel()
	url := fmt.Sprintf("http://%s:%d%s", p.options.Host.address(), p.HTTPPort, path)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	transport := &http.Transport{DisableKeepAlives: true} // leaves no goroutine
	if p.options.Host != nil {
		transport.DialContext = p.options.Host.dial
	}
	client := &http.Client{Transport: transport}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

// Status decodes the JSON of /status into a value.
func (p *Proxy) Status(t testing.TB, into any) {
	t.Helper()
	code, body, err := p.Get(t.Context(), "/status")
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("HTTP status %d", code)
	}
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	if err != nil {
		t.Fatalf("status of %s: %v", p.Name, err)
	}
}

// Conninfo returns a libpq connection string for the proxy; extra is appended, and later keywords win.
func (p *Proxy) Conninfo(extra ...string) string {
	return conninfo(p.options.Host.address(), p.Port, p.options.Password, extra)
}

// SQL runs statements through the proxy, as [Server.SQL].
func (p *Proxy) SQL(t testing.TB, sql string, extra ...string) [][]string {
	t.Helper()
	return mustQuery(t, p.Name, p.Conninfo(extra...), sql)
}

func (p *Proxy) end(t testing.TB) {
	if p.proc == nil {
		return
	}
	if p.proc.Alive() {
		p.proc.Signal(syscall.SIGTERM)
		if !p.proc.Wait(proxyStopTimeout) {
			t.Errorf("%s did not stop within %v", p.Name, proxyStopTimeout)
			p.proc.Signal(syscall.SIGQUIT) // the stacks of all goroutines go to the log
			if !p.proc.Wait(httpTimeout) {
				p.proc.kill9()
			}
		}
	}
	if code := p.proc.ExitCode(); code != 0 && !p.killed {
		t.Errorf("%s ended with exit code %d", p.Name, code)
	}
	log := p.Log()
	for _, bad := range []string{"\npanic: ", "\nfatal error: ", dataRace} {
		if strings.Contains("\n"+log, bad) {
			t.Errorf("log of %s has %q", p.Name, strings.TrimSpace(bad))
		}
	}
}
