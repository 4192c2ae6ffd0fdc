package demo

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/replproxy/replproxy/cmd/replproxy/show"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// startLimit bounds the wait until a started server or proxy answers. A loaded machine may need most of it.
const startLimit = time.Minute

// superuser owns the primary, role is what the proxy and the standbys log in as.
const (
	superuser = "postgres"
	role      = "replproxy"
	proxyName = "demo"
)

// build sets everything up, step by step.
func (d *demo) build(ctx context.Context) error {
	if err := d.step(ctx, "initialise the primary", d.initPrimary); err != nil {
		return err
	}
	if err := d.step(ctx, fmt.Sprintf("start the primary on port %d", d.primaryPort), d.startPrimary); err != nil {
		return err
	}
	if d.o.Quorum {
		if err := d.step(ctx, "make keys for a cluster of three proxies", d.configureCluster); err != nil {
			return err
		}
	}
	for _, p := range d.proxies { // all at once: the first of a new cluster waits for the second
		if err := d.startProxy(p); err != nil {
			return err
		}
	}
	for _, p := range d.proxies {
		ready := func(ctx context.Context) (string, error) { return p.awaitReady(ctx) }
		if err := d.step(ctx, fmt.Sprintf("start %s on port %d", p.label(), p.port), ready); err != nil {
			return err
		}
	}
	if err := d.step(ctx, "fill pgbench's tables through the proxy", d.fill); err != nil {
		return err
	}
	for _, s := range d.standbys {
		clone := func(ctx context.Context) (string, error) { return d.clone(ctx, s) }
		if err := d.step(ctx, "clone "+s.name+" through the proxy", clone); err != nil {
			return err
		}
	}
	if err := d.step(ctx, "wait until all standbys stream", d.awaitStreaming); err != nil || !d.o.Quorum {
		return err
	}
	return d.step(ctx, "let the primary's commits wait for them", d.waitForQuorum)
}

func (d *demo) initPrimary(ctx context.Context) (string, error) {
	dir := d.path("primary")
	err := d.run(ctx, "initdb", filepath.Join(d.bin, "initdb"), "-D", dir, "-U", superuser, "-E", "UTF8", "--locale=C",
		"--auth-host=scram-sha-256", "--auth-local=scram-sha-256", "--pwfile="+d.path("password"), "--no-sync")
	if err != nil {
		return "", err
	}
	return "", appendFile(filepath.Join(dir, "postgresql.conf"), d.settings(d.primaryPort)+
		"max_wal_senders = 10\nwal_level = replica\nmax_wal_size = 256MB\n")
}

func (d *demo) settings(port int) string {
	return fmt.Sprintf("listen_addresses = '127.0.0.1'\nport = %d\nunix_socket_directories = ''\n"+
		"shared_buffers = 32MB\nmax_connections = 40\n", port)
}

func (d *demo) startPrimary(ctx context.Context) (detail string, err error) {
	d.primary, err = d.spawn("primary", syscall.SIGQUIT, filepath.Join(d.bin, "postgres"), "-D", d.path("primary"))
	if err != nil {
		return "", err
	}
	var version string
	err = await(ctx, startLimit, d.primary, func(ctx context.Context) error {
		rows, err := d.query(ctx, d.primaryPort, "SHOW server_version")
		if err == nil {
			version = rows[0][0]
		}
		return err
	})
	if err == nil {
		_, err = d.query(ctx, d.primaryPort,
			fmt.Sprintf("CREATE ROLE %s LOGIN REPLICATION PASSWORD '%s'", role, d.password))
	}
	return "PostgreSQL " + version, err
}

// label returns the name of a proxy in the demo's output.
func (p *proxy) label() string {
	if p.name == proxyName {
		return "replproxy"
	}
	return p.name
}

func (p *proxy) httpAddress() string { return fmt.Sprintf("127.0.0.1:%d", p.http) }

func (d *demo) upstream() string {
	return fmt.Sprintf("host=127.0.0.1 port=%d user=%s dbname=postgres sslmode=disable", d.primaryPort, role)
}

func (d *demo) startProxy(p *proxy) (err error) {
	args := []string{"run", "--upstream", d.upstream(), "--listen", fmt.Sprintf("127.0.0.1:%d", p.port),
		"--http", p.httpAddress(), "--data-dir", d.path(p.name + "-data"), "--name", p.name}
	if d.o.Quorum {
		args = append(args, "-c", d.path(p.name+".yml"))
	}
	p.process, err = d.spawn(p.label(), syscall.SIGTERM, d.path("replproxy"), args...)
	return err
}

func (p *proxy) awaitReady(ctx context.Context) (detail string, err error) {
	err = await(ctx, startLimit, p.process, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.httpAddress()+"/readyz", nil)
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return errNotYet
		}
		return nil
	})
	return "status page http://" + p.httpAddress() + "/", err
}

func (d *demo) fill(ctx context.Context) (string, error) {
	before, err := d.walPosition(ctx)
	if err != nil {
		return "", err
	}
	began := time.Now()
	if err := d.run(ctx, "pgbench-init", filepath.Join(d.bin, "pgbench"), "-i", "-q", "-s", strconv.Itoa(d.o.Scale),
		"-h", "127.0.0.1", "-p", strconv.Itoa(d.proxies[0].port), "-U", superuser, "postgres"); err != nil {
		return "", err
	}
	after, err := d.walPosition(ctx)
	return rate(int64(after-before), time.Since(began)) + " of WAL", err
}

// clone takes a base backup and starts the standby, both through the proxy's port.
func (d *demo) clone(ctx context.Context, s *standby) (string, error) {
	dir, began := d.path(s.name), time.Now()
	err := d.run(ctx, "pg_basebackup-"+s.name, filepath.Join(d.bin, "pg_basebackup"), "-D", dir, "-R", "-X", "stream",
		"-c", "fast", "-C", "-S", s.name, "--no-sync", "-d", fmt.Sprintf(
			"host=127.0.0.1 port=%d user=%s application_name=%s sslmode=disable", s.proxy.port, role, s.name))
	if err != nil {
		return "", err
	}
	detail := rate(treeSize(dir), time.Since(began))
	if err := appendFile(filepath.Join(dir, "postgresql.conf"), d.settings(s.port)); err != nil {
		return "", err
	}
	if s.process, err = d.spawn(s.name, syscall.SIGQUIT, filepath.Join(d.bin, "postgres"), "-D", dir); err != nil {
		return "", err
	}
	err = await(ctx, startLimit, s.process, func(ctx context.Context) error {
		_, err := d.query(ctx, s.port, "SELECT 1")
		return err
	})
	return fmt.Sprintf("%s, standby on port %d", detail, s.port), err
}

func (d *demo) awaitStreaming(ctx context.Context) (string, error) {
	err := await(ctx, startLimit, d.proxies[0].process, func(ctx context.Context) error {
		streaming := 0
		for _, p := range d.proxies {
			st, err := d.status(ctx, p)
			if err != nil {
				return err
			}
			for _, b := range st.Standbys {
				if b.State == "streaming" {
					streaming++
				}
			}
		}
		if streaming < len(d.standbys) {
			return fmt.Errorf("%d of %d standbys stream", streaming, len(d.standbys))
		}
		return nil
	})
	return fmt.Sprintf("%d of %d", len(d.standbys), len(d.standbys)), err
}

// query runs SQL on one of the servers of the demo, as superuser.
func (d *demo) query(ctx context.Context, port int, sql string) ([][]string, error) {
	c, err := upstream.Parse(fmt.Sprintf("host=127.0.0.1 port=%d user=%s dbname=postgres password=%s sslmode=disable "+
		"connect_timeout=10", port, superuser, d.password))
	if err != nil {
		return nil, err
	}
	as := map[string]string{"search_path": "public", "statement_timeout": "0", "idle_session_timeout": "0"}
	s, err := c.Connect(ctx, as)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	results, err := s.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	var rows [][]string
	for _, r := range results {
		for _, row := range r.Rows {
			texts := make([]string, len(row))
			for i, v := range row {
				texts[i] = string(v)
			}
			rows = append(rows, texts)
		}
	}
	return rows, nil
}

// appendFile adds to a file that exists, keeping its owner.
func appendFile(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(text); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

func treeSize(dir string) int64 {
	total := int64(0)
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error { // an estimate for a line of text
		if err == nil && !e.IsDir() {
			if info, err := e.Info(); err == nil {
				total += info.Size()
			}
		}
		return nil
	})
	return total
}

func rate(n int64, took time.Duration) string {
	perSecond := int64(float64(n) / max(took.Seconds(), 0.001))
	return strings.Join([]string{show.Bytes(n), " at ", show.Bytes(perSecond), "/s"}, "")
}
