package pages

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// password is that of user postgres, ownPassword that of the proxies' and the standbys' roles, for which pages print "…".
const password, ownPassword = "of-postgres", "of-replproxy"

// passwords is everybody's password file.
const passwords = "*:*:*:postgres:" + password + "\n*:*:*:replproxy:" + ownPassword + "\n*:*:*:standby:" + ownPassword + "\n"

// house is machines as the pages name them, on one network.
type house struct {
	in       *pgtest.Install
	network  *pgtest.Network
	dir      string // etc, bin, and a folder for each machine
	hosts    string // of /etc/hosts
	machines map[string]*machine
}

// machine has files of its own: /etc/replproxy and /var/lib.
type machine struct {
	*pgtest.Host
	dir string // etc is /etc/replproxy, lib is /var/lib
}

func newHouse(t *testing.T) *house {
	t.Helper()
	in := pgtest.Need(t, 15)
	h := &house{in: in, network: pgtest.NewNetwork(t), dir: in.TempDir(t), machines: map[string]*machine{}}
	mkdir(t, h.dir, "etc/replproxy", "bin")
	for _, name := range []string{"passwd", "group"} {
		content, err := os.ReadFile("/etc/" + name)
		if err != nil {
			t.Fatal(err)
		}
		h.write(t, "etc/"+name, string(content), 0o644)
	}
	h.write(t, "etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n", 0o644)
	if err := os.Symlink(pgtest.Binary(t), filepath.Join(h.dir, "bin", "replproxy")); err != nil {
		t.Fatal(err)
	}
	h.write(t, "bin/ssh", h.ssh(), 0o755)
	h.write(t, "bin/scp", h.scp(), 0o755)
	return h
}

// ssh runs a command on another machine, as root. It hangs while that one is frozen, and ends with 255 while it is down.
func (h *house) ssh() string {
	return `#!/bin/sh
while :; do case $1 in -o) shift 2 ;; -*) shift ;; *) break ;; esac; done
at=` + h.dir + `/$1
shift
while [ -e "$at/frozen" ]; do sleep 0.1; done
[ ! -e "$at/down" ] || exit 255
exec "$at/enter" sh -c "$*"
`
}

// scp copies a file of another machine's /var/lib.
func (h *house) scp() string {
	return `#!/bin/sh
while :; do case $1 in -o) shift 2 ;; -*) shift ;; *) break ;; esac; done
at=` + h.dir + `/${1%%:*} path=${1#*:/var/lib/}
while [ -e "$at/frozen" ]; do sleep 0.1; done
[ ! -e "$at/down" ] || exit 255
cp "$at/lib/$path" "$2"
`
}

// machine adds a machine with that name, which others know by more names too.
func (h *house) machine(t *testing.T, name string, more ...string) *machine {
	t.Helper()
	m := &machine{Host: h.network.Host(t, name), dir: filepath.Join(h.dir, name)}
	h.machines[name] = m
	mkdir(t, m.dir, "etc", "lib/replproxy", "lib/postgresql")
	data := filepath.Join(m.dir, "lib", "replproxy")
	if err := os.Chmod(data, 0o700); err != nil {
		t.Fatal(err)
	}
	h.in.Give(t, data)
	h.hosts += strings.Join(append([]string{m.Addr, name}, more...), " ") + "\n"
	h.write(t, "etc/hosts", "127.0.0.1 localhost\n"+h.hosts, 0o644)
	m.Bind("/etc", filepath.Join(h.dir, "etc"))
	m.Bind("/etc/replproxy", filepath.Join(m.dir, "etc"))
	m.Bind("/var/lib", filepath.Join(m.dir, "lib"))
	m.Bind("/usr/local/bin", filepath.Join(h.dir, "bin"))
	var enter []string
	for _, word := range m.Enter() {
		enter = append(enter, quoted(word))
	}
	for _, n := range append([]string{name}, more...) {
		if n != name {
			if err := os.Symlink(name, filepath.Join(h.dir, n)); err != nil {
				t.Fatal(err)
			}
		}
	}
	h.write(t, name+"/enter", "#!/bin/sh\nexec "+strings.Join(enter, " ")+" \"$@\"\n", 0o755)
	return m
}

func quoted(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

func mkdir(t *testing.T, at string, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.MkdirAll(filepath.Join(at, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func (h *house) write(t *testing.T, name, content string, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(h.dir, name)
	err := os.WriteFile(path, []byte(content), mode)
	if err == nil {
		err = os.Chmod(path, mode)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// home is user postgres's on a machine, with all passwords unless a test says others.
func (h *house) home(t *testing.T, m *machine) string {
	t.Helper()
	home := filepath.Join(m.dir, "home")
	if _, err := os.Stat(home); err != nil {
		mkdir(t, home, "")
		h.in.Give(t, home)
		h.passfile(t, home)
	}
	return home
}

// command is a shell's line on a machine, as user postgres or as root.
func (h *house) command(ctx context.Context, t *testing.T, m *machine, root bool, line string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := h.in.ToolContext(ctx, h.dir, "/bin/sh", "-c", strings.ReplaceAll(line, "'…'", "'"+ownPassword+"'"))
	if root {
		cmd.SysProcAttr.Credential = nil
	}
	cmd.Env = append(append(cmd.Env, "HOME="+h.home(t, m)), env...)
	return cmd
}

// run runs a line on a machine and returns what it printed.
func (h *house) run(t *testing.T, m *machine, root bool, line string, env ...string) (string, error) {
	t.Helper()
	said := &scene.Said{}
	cmd := h.command(t.Context(), t, m, root, line, env...)
	cmd.Stdout, cmd.Stderr = said, said
	err := m.Start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	t.Logf("%s %s$ %s\n%s%v", time.Now().UTC().Format("15:04:05.000"), m.Name, strings.TrimSpace(line), said, err)
	return said.String(), err
}

// sh runs lines on a machine as user postgres, and fails when they do.
func (h *house) sh(t *testing.T, m *machine, lines string) string {
	t.Helper()
	said, err := h.run(t, m, false, lines)
	if err != nil {
		t.Fatal(err)
	}
	return said
}

// background starts a line that goes on until the test ends, and returns what it prints meanwhile.
func (h *house) background(t *testing.T, m *machine, line string) *scene.Said {
	t.Helper()
	said := &scene.Said{}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	cmd := h.command(ctx, t, m, false, "exec "+line)
	cmd.Stdout, cmd.Stderr = said, said
	cmd.WaitDelay = time.Minute // it ends by itself, at SIGTERM
	if err := m.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s$ %s\n%s", m.Name, line, said)
		}
	})
	return said
}

// server is options of a server on a machine, at the usual port. Its walreceiver finds its passwords.
func (h *house) server(m *machine, settings ...string) []pgtest.Option {
	return []pgtest.Option{
		pgtest.On(m.Host), pgtest.Port(5432), pgtest.Name(m.Name), pgtest.SCRAM(password), pgtest.Stopped(),
		pgtest.Settings(append([]string{"wal_log_hints = on", "wal_keep_size = 1GB", "password_encryption = 'scram-sha-256'"}, settings...)...),
	}
}

// passfile gives a process its password file, in the folder that is its home.
func (h *house) passfile(t *testing.T, home string) {
	t.Helper()
	path := filepath.Join(home, ".pgpass")
	if err := os.WriteFile(path, []byte(passwords), 0o600); err != nil {
		t.Fatal(err)
	}
	h.in.Give(t, path)
}

// primary starts a primary, which lets in whom README.md says, and standbys of it.
func (h *house) primary(t *testing.T, m *machine, settings ...string) *pgtest.Server {
	t.Helper()
	s := h.in.Primary(t, h.server(m, settings...)...)
	h.passfile(t, s.SocketDir)
	s.Start(t)
	return s
}

func (h *house) standby(t *testing.T, m *machine, of *pgtest.Server, settings ...string) *pgtest.Server {
	t.Helper()
	so := pgtest.StandbyOptions{From: of, PrimaryConninfo: fmt.Sprintf("host=%s user=postgres", of.Name)}
	s := h.in.Standby(t, so, h.server(m, settings...)...)
	h.passfile(t, s.SocketDir)
	s.Start(t)
	return s
}
