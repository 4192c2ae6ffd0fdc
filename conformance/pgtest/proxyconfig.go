package pgtest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

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
