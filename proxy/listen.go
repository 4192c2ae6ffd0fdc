package proxy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/replproxy/replproxy/internal/tcpopt"
)

const (
	// DefaultPort is the port of replproxy.
	DefaultPort = 6543
	// unixPrefix introduces a directory for a unix socket, socketPrefix is PostgreSQL's file name.
	unixPrefix, socketPrefix = "unix:", ".s.PGSQL."
	// maxSocketPath is the length that fits sockaddr_un on Linux.
	maxSocketPath = 107
	// socketMode lets everybody connect, as unix_socket_permissions does by default: the primary
	// decides who may log in.
	socketMode = 0o777
	// probeTimeout bounds the question whether a socket file is alive.
	probeTimeout = time.Second
)

// Listener is a listener with the address that it was opened by, as the configuration writes it.
type Listener struct {
	net.Listener
	Address string
}

// Listen opens the addresses: "host:port" and ":port" for TCP, "unix:/dir" for PostgreSQL's socket file in a
// directory, or the whole path of such a file. The file in a directory is numbered after the first TCP port, or else
// DefaultPort. Each listener is a *Listener. A socket file that nobody serves any more is replaced. On error nothing
// stays open.
func Listen(ctx context.Context, addrs []string) (_ []net.Listener, err error) {
	var ls []net.Listener
	defer func() {
		if err != nil {
			for _, l := range ls {
				_ = l.Close()
			}
		}
	}()
	port := DefaultPort
	var sockets []string
	for _, a := range addrs {
		if dir, ok := strings.CutPrefix(a, unixPrefix); ok {
			sockets = append(sockets, dir)
			continue
		}
		all, err := listenTCP(ctx, a)
		if err != nil {
			return ls, fmt.Errorf("listen on %q: %w", a, err)
		}
		if len(ls) == 0 {
			port = all[0].Addr().(*net.TCPAddr).Port
		}
		for _, l := range all {
			ls = append(ls, &Listener{l, a})
		}
	}
	for _, dir := range sockets {
		path := dir
		if !strings.HasPrefix(filepath.Base(path), socketPrefix) {
			path = filepath.Join(path, socketPrefix+strconv.Itoa(port))
		}
		l, err := listenUnix(ctx, path)
		if err != nil {
			return ls, fmt.Errorf("listen on unix socket %q: %w", path, err)
		}
		ls = append(ls, &Listener{l, unixPrefix + dir})
	}
	return ls, nil
}

// listenTCP listens as PostgreSQL would: on all addresses of a name, of which one at least has to do. 0.0.0.0 stands
// for IPv4 alone, [::] for IPv6 alone, no host for both.
func listenTCP(ctx context.Context, addr string) (all []net.Listener, err error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	found := []string{host}
	if _, bad := netip.ParseAddr(host); bad != nil && host != "" {
		if found, err = net.DefaultResolver.LookupHost(ctx, host); err != nil {
			return nil, err
		}
	}
	var refused error
	for _, a := range found {
		a = net.JoinHostPort(a, port)
		l, err := tcpopt.Listen(ctx, tcpopt.Network(a), a)
		if err != nil {
			refused = errors.Join(refused, err)
			continue
		}
		all = append(all, l)
	}
	if len(all) == 0 {
		return nil, refused
	}
	return all, nil
}

func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("the path has %d bytes, at most %d are possible", len(path), maxSocketPath)
	}
	if err := removeStale(ctx, path); err != nil {
		return nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, socketMode); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

// removeStale removes a socket file that nobody listens on. Anything else in its place stays.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("the file exists and is no socket")
	}
	conn, err := (&net.Dialer{Timeout: probeTimeout}).DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		_ = conn.Close()
		return errors.New("another server is listening there")
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	}
	return err
}
