package pgtest

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
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
