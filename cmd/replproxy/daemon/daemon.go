package daemon

import (
	"context"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/logqueue"
	"github.com/replproxy/replproxy/proxy/config"
)

// Options holds the command line's part of what Run needs, and the way to read the configuration.
type Options struct {
	// Load reads the configuration, its file and flags, at the start and at each SIGHUP.
	Load func() (*config.Config, error)
	File string // the configuration's, "" for none
	Log  io.Writer

	Version, Commit string // of this binary, Commit "" where it is not known

	Profiles  bool // serve Go's profiles at the http address
	NewStore  bool // an empty data_dir is meant
	AllowRoot bool
}

// Daemon is a proxy that is configured and not started.
type Daemon struct {
	o        Options
	settings *settings
	upstream *upstream.Config
}

// New returns a daemon by the configuration as it is now, with the files that it names. It starts and opens nothing and
// touches no data_dir: Run does. An [UnusableError] is the operator's to mend.
func New(o Options) (*Daemon, error) {
	c, up, err := o.read()
	if err == nil {
		err = refuseRoot(os.Geteuid(), o.AllowRoot)
	}
	if err != nil {
		return nil, err
	}
	return &Daemon{o, newSettings(c, o.File), up}, nil
}

// read reads the configuration and judges it: the files that it names, too, and who may read secrets. Nothing is in
// force by it. An error says what is unusable.
func (o *Options) read() (*config.Config, *upstream.Config, error) {
	c, err := o.Load()
	if err != nil {
		return nil, nil, err
	}
	up, _, err := judge(c)
	if err == nil {
		err = refuseOpenSecrets(c, up, o.File)
	}
	return c, up, err
}

// Run serves until ctx ends, and then ends in order; when hard is closed it returns at once. hangups has a token for
// each SIGHUP. What Run returns it has said in its log, which is a [SaidError].
func (d *Daemon) Run(ctx context.Context, hard, hangups <-chan struct{}) error {
	set := d.settings
	bad := withoutCores()
	debug.SetTraceback("crash") // a panic ends by SIGABRT: Go's exit code 2 would be an unusable configuration
	queue, log := openLog(set.now(), set.level, d.o.Log)
	defer queue.Close(logFlush)
	if bad != nil {
		log.Warn("a core dump of this process would hold secrets, and could not be forbidden", "err", bad)
	}
	if os.Geteuid() == 0 {
		log.Warn("running as root: an account without privileges is enough, see packaging/replproxy.service")
	}
	set.read, set.hangups, set.log = d.o.read, hangups, log.With("part", "config")
	done := make(chan error, 1)
	go func() { done <- d.serve(ctx, queue, log) }()
	select {
	case err := <-done:
		if err == nil {
			log.Info("stopped")
		}
		return lastWords(queue, err)
	case <-hard:
		// The store survives this as it survives kill -9.
		log.Warn("second signal: leaving at once")
		return SaidError{errHurried}
	}
}

// serve opens everything, from the disk outward, runs it until ctx ends, and closes it in reverse.
func (d *Daemon) serve(ctx context.Context, queue *logqueue.Queue, log *slog.Logger) (err error) {
	set := d.settings
	p := &parts{Options: d.o, settings: set, upstream: d.upstream, queue: queue, log: log, started: time.Now()}
	if p.files, err = openFiles(set.now(), log); err != nil {
		return err
	}
	defer p.close(&err)
	for _, open := range []func(context.Context, *config.Config) error{
		p.openStore, p.openCluster, p.openSlots, p.openStream, p.openAuth, p.openListeners, p.openServer,
	} {
		if err := open(ctx, set.now()); err != nil {
			return err
		}
	}
	set.apply = p.apply
	announce(log, set.now(), d.upstream, p.listeners, d.o.Profiles)
	said := context.AfterFunc(ctx, func() {
		log.Info("a stop has begun: applications end by themselves for a while, and standbys are sent what they lack",
			"sessions", len(p.server.Sessions()))
	})
	defer said()
	return runStages(ctx, p.stages())
}
