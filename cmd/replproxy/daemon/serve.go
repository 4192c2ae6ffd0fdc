package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"syscall"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/syncrep"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/datadir"
	"github.com/replproxy/replproxy/internal/tcpopt"
	"github.com/replproxy/replproxy/proxy/config"
	"github.com/replproxy/replproxy/proxy/report"
)

// announce logs once what this proxy is, where it listens and what it stands in front of, and warns of secrets that
// others may read. profiles: they are served.
func announce(log *slog.Logger, c *config.Config, up *upstream.Config, open *listeners, profiles bool) {
	for _, a := range open.addresses() {
		log.Info("listening for applications and standbys", "listen", a)
	}
	if open.http != nil {
		scheme := "http://"
		if c.HTTPCertFile != "" {
			scheme = "https://"
		}
		log.Info("status page, health and metrics", "http", scheme+open.http.Addr().String()+"/")
		if c.HTTPTokenFile == "" && !tcpopt.LoopbackOnly([]string{c.HTTP}) {
			log.Warn("everybody who reaches the http address may read the status: see http_token_file", "http", c.HTTP)
		}
	}
	for _, w := range report.ExposureWarnings(c, profiles) {
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
		return UnusableError{fmt.Errorf("unusable configuration\n%w", c.At("data_dir", err))}
	case err != nil:
		return openFailed(c, err)
	}
	return nil
}

// refuseRoot returns PostgreSQL's refusal to run as root. It is nil for another user, by its id, and with allowed,
// where the operator insists.
func refuseRoot(user int, allowed bool) error {
	if user != 0 || allowed {
		return nil
	}
	return UnusableError{errors.New("\"root\" execution of replproxy is not permitted; HINT: start it as an ordinary " +
		"user, as packaging/replproxy.service does, or say --allow-root where nothing else can be, as in a container")}
}

// openFailed adds the remedy to the errors of a data directory.
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
	case errors.Is(err, syscall.EROFS):
		next = "; its file system is read-only for this process: under the shipped unit name it in ReadWritePaths " +
			"(docs/runbook.md, data_dir moves)"
	default:
		next = "; the user that runs replproxy must be able to write to data_dir (--data-dir)"
	}
	return fmt.Errorf("open store %s: %w%s", c.DataDir, err, next)
}
