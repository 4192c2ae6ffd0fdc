package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/syncrep"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/datadir"
	"github.com/replproxy/replproxy/internal/logqueue"
	"github.com/replproxy/replproxy/proxy/config"
	"github.com/spf13/cobra"
)

func runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Stand in front of a primary until SIGTERM (orderly) or a second one (at once)",
		Args:  cobra.NoArgs,
	}
	file := configFlags(cmd)
	var flags runFlags
	cmd.Flags().BoolVar(&flags.profiles, "pprof", false, "serve Go's profiles at /debug/pprof of the http address")
	cmd.Flags().BoolVar(&flags.newStore, "new-store", false, "begin a new store in an empty data_dir although the "+
		"primary has this proxy's slot: for one start, by hand")
	allowRoot := cmd.Flags().Bool("allow-root", false, "run as root all the same, as in a container")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		read := func() (*config.Config, *upstream.Config, error) {
			c, err := loadConfig(cmd, *file)
			if err != nil {
				return nil, nil, err
			}
			up, err := parseUpstream(c)
			if err == nil {
				_, err = openTLS(c, slog.New(slog.DiscardHandler))
			}
			if err == nil {
				err = readKeys(c)
			}
			if err == nil {
				_, _, err = openHTTP(c, slog.New(slog.DiscardHandler))
			}
			if err == nil {
				err = refuseOpenSecrets(c, up, *file)
			}
			return c, up, err
		}
		c, up, err := read()
		if err == nil {
			err = refuseRoot(os.Geteuid(), *allowRoot)
		}
		if err != nil {
			return err
		}
		set := newSettings(c, *file)
		bad := withoutCores()
		debug.SetTraceback("crash") // a panic ends by SIGABRT: Go's exit code 2 would be an unusable configuration
		queue, log := openLog(c, set.level, cmd.ErrOrStderr())
		defer queue.Close(logFlush)
		if bad != nil {
			log.Warn("a core dump of this process would hold secrets, and could not be forbidden", "err", bad)
		}
		if os.Geteuid() == 0 {
			log.Warn("running as root: an account without privileges is enough, see packaging/replproxy.service")
		}
		soft, hard, stop := twoStage(cmd.Context())
		defer stop()
		hangups, release := daemonSignals()
		defer release()
		set.read, set.hangups, set.log = read, hangups, log.With("part", "config")
		done := make(chan error, 1)
		go func() { done <- serve(soft, set, up, queue, log, flags) }()
		select {
		case err := <-done:
			return lastWords(queue, err)
		case <-hard.Done():
			// The store survives this as it survives kill -9.
			log.Warn("second signal: leaving at once")
			return silentError{exitFailure}
		}
	}
	return cmd
}

// runFlags holds the flags of run that no key of the configuration has.
type runFlags struct {
	profiles bool
	newStore bool // an empty data_dir is meant
}

// serve opens everything, from the disk outward, runs it until ctx ends, and closes it in reverse.
func serve(ctx context.Context, set *settings, up *upstream.Config, queue *logqueue.Queue, log *slog.Logger,
	flags runFlags,
) (err error) {
	p := &parts{
		settings: set, upstream: up, queue: queue, log: log, runFlags: flags,
		build: readBuild(), started: time.Now(),
	}
	if p.files, err = openFiles(set.now(), log); err != nil {
		return err
	}
	defer p.close(&err)
	for _, open := range []func(context.Context, *config.Config) error{
		p.openStore, p.openCluster, p.openSlots, p.openStream, p.openAuth, p.openDoors, p.openServer,
	} {
		if err := open(ctx, set.now()); err != nil {
			return err
		}
	}
	set.apply = p.apply
	announce(log, set.now(), up, p.doors, flags.profiles)
	return runStages(ctx, p.stages())
}

// announce says once what this proxy is, where it listens and what it stands in front of.
func announce(log *slog.Logger, c *config.Config, up *upstream.Config, d *doors, profiles bool) {
	for _, a := range d.addresses() {
		log.Info("listening for applications and standbys", "listen", a)
	}
	if d.http != nil {
		scheme := "http://"
		if c.HTTPCertFile != "" {
			scheme = "https://"
		}
		log.Info("status page, health and metrics", "http", scheme+d.http.Addr().String()+"/")
		if c.HTTPTokenFile == "" && !loopbackOnly([]string{c.HTTP}) {
			log.Warn("everybody who reaches the http address may read the status: see http_token_file", "http", c.HTTP)
		}
	}
	for _, w := range exposureWarnings(c, profiles) {
		log.Warn("a secret that others may read", "warning", w)
	}
	log.Info("standing in front of the primary", "upstream", up.String(), "slot", c.SlotName(), "data_dir", c.DataDir)
	name := syncrep.QuoteName(c.Name)
	if c.SynchronousStandbyNames == "" {
		log.Info("a commit that waits for this proxy is durable in this store only: no rule counts standbys",
			"name_for_synchronous_standby_names", name)
		return
	}
	log.Info("a commit that waits for this proxy waits for its rule",
		"rule", c.SynchronousStandbyNames, "zones", c.SynchronousStandbyZones.Rule,
		"name_for_synchronous_standby_names", name)
}

// prepareDataDir makes data_dir, or judges it; what is wrong with owners and modes is unusable configuration.
func prepareDataDir(c *config.Config) error {
	err := datadir.Prepare(c.DataDir)
	var refused *datadir.Error
	switch {
	case errors.As(err, &refused):
		return usageError{fmt.Errorf("unusable configuration\n%w", c.At("data_dir", err))}
	case err != nil:
		return openFailed(c, err)
	}
	return nil
}

// refuseRoot is PostgreSQL's refusal to run as root, nil for other users and where the operator insists.
func refuseRoot(user int, allowed bool) error {
	if user != 0 || allowed {
		return nil
	}
	return usageError{errors.New("\"root\" execution of replproxy is not permitted; HINT: start it as an ordinary " +
		"user, as packaging/replproxy.service does, or say --allow-root where nothing else can be, as in a container")}
}

// openFailed adds what to do next to the errors of a data directory.
func openFailed(c *config.Config, err error) error {
	next := ""
	switch {
	case errors.Is(err, walstore.ErrLocked):
		next = "; stop that one first, or give this one a data_dir (--data-dir) of its own"
	case errors.Is(err, walstore.ErrForeignDir):
		next = "; name an empty directory in data_dir (--data-dir), or one that a replproxy made"
	case errors.Is(err, walstore.ErrDamaged):
		next = "; the store can be made anew: move data_dir away, and start with --new-store. In a cluster a new " +
			"store needs a new name, as the old one may have promised not to vote (docs/runbook.md, A new store)"
	default:
		next = "; the user that runs replproxy must be able to write to data_dir (--data-dir)"
	}
	return fmt.Errorf("open store %s: %w%s", c.DataDir, err, next)
}
