package scene

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// Recipe runs the scripts of docs/failover.md, for which a host is the name of a proxy.
type Recipe struct {
	In      *pgtest.Install
	Proxies []*pgtest.Proxy
	Dir     string
}

// NewRecipe makes a folder for the scripts. Proxies are to be set, and SSH to be called, before Begin.
func NewRecipe(t *testing.T, in *pgtest.Install) *Recipe {
	t.Helper()
	return &Recipe{In: in, Dir: in.TempDir(t)}
}

// SSH makes a program of that name, which takes a proxy's name for its host.
func (s *Recipe) SSH(t *testing.T) {
	t.Helper()
	script := "#!/bin/sh\nwhile :; do case $1 in -o) shift 2 ;; -*) shift ;; *) break ;; esac; done\n" +
		"host=$1; shift 2\ncase $host in\n"
	for _, p := range s.Proxies {
		script += fmt.Sprintf("%s) exec %s \"$@\" --data-dir %s ;;\n", p.Name, pgtest.Binary(t), p.DataDir)
	}
	s.Write(t, "ssh", script+"esac\nexit 255\n")
}

// Write makes a program in Dir.
func (s *Recipe) Write(t *testing.T, name, script string) string {
	t.Helper()
	path := filepath.Join(s.Dir, name)
	s.Proxies[0].WriteFile(t, path, script)
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// Said collects the output of a program. It may be read while the program runs.
type Said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *Said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *Said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// Begin starts a script of docs/failover.md, verbatim.
func (s *Recipe) Begin(t *testing.T, name string, env []string, args ...string) (*exec.Cmd, *Said) {
	t.Helper()
	script := ""
	for _, b := range Blocks(t, "docs/failover.md") {
		if strings.HasPrefix(b.Text, "#!/bin/sh\n# "+name+" ") || strings.HasPrefix(b.Text, "#!/bin/sh\n# "+name+":") {
			script = b.Text
		}
	}
	if script == "" {
		t.Fatalf("docs/failover.md has no script %s", name)
	}
	cmd := s.In.Tool(t, s.Dir, s.Write(t, name, script), args...)
	var hosts []string
	for _, p := range s.Proxies {
		hosts = append(hosts, p.Name)
	}
	for i, kv := range cmd.Env {
		if path, ok := strings.CutPrefix(kv, "PATH="); ok {
			cmd.Env[i] = "PATH=" + s.Dir + ":" + path
		}
	}
	cmd.Env = append(append(cmd.Env, "TMPDIR="+s.Dir, "PROXIES="+strings.Join(hosts, " ")), env...)
	out := &Said{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}
