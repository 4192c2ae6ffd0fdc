package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Network is a switch with hosts on it, each a network namespace of its own, that ends with its test (and
// with this process: the namespaces have no names). Unix sockets go past it: they are how a test reaches
// a server that nobody else can. Only root can make one.
//
//	primary ─┐            ┌─ s1        one host sees only its own end of a veth pair;
//	proxy_a ─┼── bridge ──┼─ s2        a cut is a blackhole route at the sender, so it has a direction
//	proxy_b ─┘            └─ s3
type Network struct {
	hub   *namespace
	hosts int
}

// Host is a place for one server or proxy.
type Host struct {
	Name, Addr string // IPv4
	ns         *namespace
	binds      []string // mount(8)'s arguments: what is its own in the file system
}

// namespace is a network namespace that lives as long as its file is open or a process is in it.
type namespace struct{ file *os.File }

// NewNetwork makes a network without hosts.
func NewNetwork(t testing.TB) *Network {
	t.Helper()
	n := &Network{hub: newNamespace(t)}
	n.hub.ip(t, "link add hub type bridge", "link set hub up")
	return n
}

// Host adds a host.
func (n *Network) Host(t testing.TB, name string) *Host {
	t.Helper()
	n.hosts++
	h := &Host{Name: name, Addr: fmt.Sprintf("10.77.0.%d", n.hosts), ns: newNamespace(t)}
	port := fmt.Sprintf("port%d", n.hosts)
	n.hub.ip(t, fmt.Sprintf("link add %s type veth peer name eth0 netns %s", port, h.ns.path()),
		"link set "+port+" master hub", "link set "+port+" up")
	h.ns.ip(t, "link set lo up", "addr add "+h.Addr+"/24 dev eth0", "link set eth0 up")
	return h
}

// Cut makes all packets from h to another host vanish, and Mend ends that. Those from the other one to h still arrive.
// Calls for a pair of hosts alternate.
func (h *Host) Cut(t testing.TB, to *Host) {
	t.Helper()
	h.ns.ip(t, "route add blackhole "+to.Addr+"/32")
}

// Mend ends a Cut.
func (h *Host) Mend(t testing.TB, to *Host) {
	t.Helper()
	h.ns.ip(t, "route del blackhole "+to.Addr+"/32")
}

// Bind lets processes that are started on the host from now on find dir at path, which must be there already.
func (h *Host) Bind(path, dir string) {
	h.binds = append(h.binds, fmt.Sprintf("mount --bind '%s' '%s'", dir, path))
}

// Start starts a command on the host, with the host's own files.
func (h *Host) Start(cmd *exec.Cmd) error {
	h.furnish(cmd)
	return h.run(cmd.Start)
}

// Enter returns the beginning of a command line that runs on the host, as root and from any place of this machine.
func (h *Host) Enter() []string {
	return append([]string{"nsenter", "--net=" + h.ns.path()}, h.furnished("")...)
}

// furnish lets a command that has not started see the host's own files and name. It stays one process, by the same id.
func (h *Host) furnish(cmd *exec.Cmd) {
	if h == nil || h.binds == nil {
		return
	}
	become, attr := "", cmd.SysProcAttr
	if attr != nil && attr.Credential != nil { // only root may mount, and a change of user ends Pdeathsig
		become = fmt.Sprintf("setpriv --reuid %d --regid %d --clear-groups --pdeathsig %s", attr.Credential.Uid,
			attr.Credential.Gid, unix.SignalName(attr.Pdeathsig))
		attr.Credential = nil
	}
	before := h.furnished(become)
	cmd.Args = append(append(before, cmd.Path), cmd.Args[1:]...)
	cmd.Path, cmd.Err = exec.Command(before[0]).Path, nil
}

func (h *Host) furnished(become string) []string {
	script := "echo " + h.Name + " >/proc/sys/kernel/hostname && " + strings.Join(h.binds, " && ") +
		` && exec ` + become + ` "$@"`
	return []string{"unshare", "--mount", "--uts", "sh", "-c", script, "sh"}
}

// dial connects from the host itself, as a program there would. addr is a literal IP address.
func (h *Host) dial(ctx context.Context, network, addr string) (conn net.Conn, err error) {
	inside := h.run(func() error {
		var d net.Dialer
		conn, err = d.DialContext(ctx, network, addr)
		return nil
	})
	return conn, errors.Join(err, inside)
}

// run calls f with the calling thread on the host: sockets that it makes and processes that it starts are
// there. A nil host is this process's own.
func (h *Host) run(f func() error) error {
	if h == nil {
		return f()
	}
	return h.ns.enter(f)
}

// address returns the address of a server on the host.
func (h *Host) address() string {
	if h == nil {
		return "127.0.0.1"
	}
	return h.Addr
}

func newNamespace(t testing.TB) *namespace {
	t.Helper()
	ns := &namespace{}
	err := apart(func() (err error) {
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			ns.file, err = threadNamespace()
		}
		return err
	})
	if err != nil {
		t.Fatalf("make a network namespace (this test needs root, with CAP_NET_ADMIN and CAP_SYS_ADMIN): %v", err)
	}
	t.Cleanup(func() { _ = ns.file.Close() })
	return ns
}

func threadNamespace() (*os.File, error) {
	return os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
}

// apart runs f on a thread that may change its namespace, and brings it back. Without a way back the
// thread stays locked, and ends with its goroutine. Threads that Go makes meanwhile are not its children.
func apart(f func() error) error {
	runtime.LockOSThread()
	home, err := threadNamespace()
	if err != nil {
		return err
	}
	defer home.Close()
	err = f()
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		return errors.Join(err, fmt.Errorf("return from a network namespace: %w", back))
	}
	runtime.UnlockOSThread()
	return err
}

func (ns *namespace) enter(f func() error) error {
	return apart(func() error {
		if err := unix.Setns(int(ns.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter a network namespace: %w", err)
		}
		return f()
	})
}

func (ns *namespace) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), ns.file.Fd()) }

// ip runs commands of iproute2 in the namespace.
func (ns *namespace) ip(t testing.TB, commands ...string) {
	t.Helper()
	err := ns.enter(func() error {
		program, err := exec.LookPath("ip")
		if err != nil {
			program = "/usr/sbin/ip"
		}
		cmd := exec.Command(program, "-batch", "-")
		cmd.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("ip %s (it takes iproute2, and a kernel with bridges and veth): %v",
			strings.Join(commands, "; "), err)
	}
}
