package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/replproxy/replproxy/internal/child"
)

// Options describe the demo. Zero values are the defaults.
type Options struct {
	Bindir   string        // PostgreSQL's programs; "" = look for them
	Program  string        // the replproxy to run; "" = this one
	Duration time.Duration // of the load; 0 = until Stop
	Standbys int
	Quorum   bool // three proxies with one quorum, and voters that are cut off
	Scale    int  // of pgbench's tables
	Clients  int  // of pgbench
	Redraw   bool // Out is a terminal: draw in place
	Out      io.Writer
	Stop     <-chan struct{} // ends the load early; the summary follows
}

// The defaults of a demo: seconds on a small machine.
const (
	DefaultDuration = 20 * time.Second
	DefaultStandbys = 3
	defaultScale    = 2 // 30 MB, enough to see a clone move
	defaultClients  = 4
)

// demo is one run. Its methods run one after the other, in one goroutine.
type demo struct {
	o        Options
	dir, bin string
	who      account
	starter  *starter
	password string
	cleanups []func() error

	primaryPort int
	primary     *process
	proxies     []*proxy // the first one is what clients use
	standbys    []*standby
	tally       tally
	cut         cut
}

type proxy struct {
	name                    string
	port, http, clusterPort int // clusterPort: for the other proxies
	*process
}

type standby struct {
	name  string
	port  int
	proxy *proxy // that it follows
	*process
}

// Run runs the whole demo. It blocks until everything it made is gone. ctx ends it at once, Stop in order. The error is
// the first thing that went wrong.
func Run(ctx context.Context, o Options) (err error) {
	if o.Standbys == 0 {
		o.Standbys = DefaultStandbys
	}
	if o.Scale == 0 {
		o.Scale = defaultScale
	}
	if o.Clients == 0 {
		o.Clients = defaultClients
	}
	d := &demo{o: o, starter: newStarter(), password: rand.Text()}
	defer d.starter.close()
	defer func() {
		if cleanupErr := d.cleanUp(); err == nil {
			err = cleanupErr
		}
	}()
	if err := d.prepare(); err != nil {
		return err
	}
	if err := d.build(ctx); err != nil {
		return d.orStopped(ctx, err)
	}
	d.introduce()
	if err := d.load(ctx); err != nil {
		return d.orStopped(ctx, err)
	}
	return d.prove(ctx)
}

// ErrStopped says that the demo was interrupted before it could prove anything.
var ErrStopped = errors.New("interrupted before the end; everything has been removed")

func (d *demo) orStopped(ctx context.Context, err error) error {
	if ctx.Err() != nil || d.stopped() {
		return ErrStopped
	}
	return err
}

func (d *demo) stopped() bool {
	select {
	case <-d.o.Stop:
		return true
	default:
		return false
	}
}

// prepare finds programs and makes the directory. Nothing runs yet.
func (d *demo) prepare() (err error) {
	if d.bin, err = findBinaries(d.o.Bindir); err != nil {
		return err
	}
	if d.who.Account, err = child.Unprivileged(); err != nil {
		return fmt.Errorf("%w: run the demo as an ordinary user", err)
	}
	if d.dir, err = os.MkdirTemp("", "replproxy-demo-"); err != nil {
		return err
	}
	d.atEnd(func() error { return os.RemoveAll(d.dir) })
	if err := d.copyProgram(); err != nil {
		return err
	}
	as := ""
	if d.who.Name != "" {
		as = ", running as " + d.who.Name
	}
	d.say("PostgreSQL in %s, everything in %s%s\n", d.bin, d.dir, as)
	names := []string{proxyName}
	if d.o.Quorum {
		names = quorumProxies()
	}
	ports, err := freePorts(1 + 3*len(names) + d.o.Standbys)
	if err != nil {
		return err
	}
	d.primaryPort, ports = ports[0], ports[1:]
	for _, name := range names {
		d.proxies = append(d.proxies, &proxy{name: name, port: ports[0], http: ports[1], clusterPort: ports[2]})
		ports = ports[3:]
	}
	for i, port := range ports {
		d.standbys = append(d.standbys, &standby{
			name: fmt.Sprintf("standby_%d", i+1), port: port, proxy: d.proxies[i%len(d.proxies)],
		})
	}
	pass := fmt.Sprintf("127.0.0.1:*:*:*:%s\n", d.password)
	if err := os.WriteFile(d.path("pgpass"), []byte(pass), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(d.path("password"), []byte(d.password+"\n"), 0o600); err != nil {
		return err
	}
	return d.who.own(d.dir)
}

// copyProgram puts replproxy where the account can run it: a home directory may be closed to it.
func (d *demo) copyProgram() error {
	program := d.o.Program
	if program == "" {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		program = self
	}
	from, err := os.Open(program)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(d.path("replproxy"), os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		return err
	}
	return to.Close()
}

func (d *demo) path(name string) string { return filepath.Join(d.dir, name) }

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.o.Out, format, args...) }

// atEnd registers a function for the end; the last one goes first.
func (d *demo) atEnd(f func() error) { d.cleanups = append(d.cleanups, f) }

func (d *demo) cleanUp() error {
	var first error
	for i := len(d.cleanups) - 1; i >= 0; i-- {
		if err := d.cleanups[i](); err != nil && first == nil {
			first = fmt.Errorf("clean up: %w", err)
		}
	}
	return first
}

// freePorts finds ports on loopback that nobody uses. All are held until all are found.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// step runs one part of the set-up and says what it did and how long that took.
func (d *demo) step(ctx context.Context, what string, f func(context.Context) (detail string, err error)) error {
	d.say("  %-42s", what)
	began := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan struct{})
	defer close(ended)
	go func() { // Ctrl-C during the set-up ends the step
		select {
		case <-d.o.Stop:
			cancel()
		case <-ended:
		}
	}()
	detail, err := f(ctx)
	if err != nil {
		d.say("failed\n")
		return fmt.Errorf("%s: %w", what, err)
	}
	if detail != "" {
		detail = "  " + detail
	}
	d.say("%6.1f s%s\n", time.Since(began).Seconds(), detail)
	return nil
}
