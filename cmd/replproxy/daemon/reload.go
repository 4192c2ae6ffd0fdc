package daemon

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/replproxy/replproxy/fanout"
	"github.com/replproxy/replproxy/fanout/realslot"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/proxy/admin"
	"github.com/replproxy/replproxy/proxy/config"
)

// settings are the configuration in force, and how it is read again. Run owns the changes, any goroutine may ask. Make
// it with newSettings.
type settings struct {
	read    func() (*config.Config, *upstream.Config, error) // file and flags, checked
	hangups <-chan struct{}
	level   *slog.LevelVar
	log     *slog.Logger
	// apply puts next into force in every part; conninfo is what it says of the primary, read now. drop: an empty rule
	// is what the operator insists on. After an error the rule of before is in force, and all the rest of next.
	// Set before Run.
	apply func(next *config.Config, conninfo *upstream.Config, drop bool) error
	drops chan chan<- error // asks for the rule to be taken away

	state atomic.Pointer[inForce]
}

// inForce is one state of the settings.
type inForce struct {
	config *config.Config
	status admin.Config
}

// newSettings begins with c, which came out of read.
func newSettings(c *config.Config, file string) *settings {
	s := &settings{level: new(slog.LevelVar), drops: make(chan chan<- error)}
	s.level.Set(c.LogLevel)
	s.state.Store(&inForce{config: c, status: admin.Config{
		File: file, Generation: 1, LoadedAt: time.Now(), Pending: []admin.Pending{},
	}})
	return s
}

func (s *settings) now() *config.Config { return s.state.Load().config }

// Run reads the configuration again at each SIGHUP until ctx ends, then returns nil. One that is unusable is logged and
// changes nothing.
func (s *settings) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.hangups:
			s.notify(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
			_ = s.reload(false) // it has logged what is wrong
			s.notify(daemon.SdNotifyReady)
		case answer := <-s.drops:
			answer <- s.reload(true)
		}
	}
}

func (s *settings) notify(state string) {
	if err := sdNotify(strings.TrimSpace(state)); err != nil {
		s.log.Warn("cannot notify systemd", "state", state, "err", err)
	}
}

// dropRule takes the rule away, in a cluster too. It blocks until [settings.Run] has done it or ctx ends; then it may
// still be done.
func (s *settings) dropRule(ctx context.Context) error {
	answer := make(chan error, 1)
	select {
	case s.drops <- answer:
		return <-answer
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// reload carries out one SIGHUP: everything that can change does, or nothing. drop: the rule is to be taken away.
func (s *settings) reload(drop bool) error {
	was := s.state.Load()
	read, up, err := s.read()
	if err != nil {
		s.log.Error("the configuration has errors and was not reloaded: the one before stays in force")
		text := strings.TrimPrefix(err.Error(), "unusable configuration\n")
		for _, line := range strings.Split(text, "\n") {
			s.log.Error("configuration", "error", line) // line by line, or no caret would stand where it belongs
		}
		failed := *was
		failed.status.LastError, failed.status.Refused = text, nil
		s.state.Store(&failed)
		return err
	}
	if drop {
		if err := read.DropsRule(); err != nil {
			return err
		}
	}
	next, applied, pending := config.Reload(was.config, read)
	s.level.Set(next.LogLevel)
	status := was.status
	status.Generation++
	status.LoadedAt, status.LastError, status.Pending, status.Refused = time.Now(), "", []admin.Pending{}, nil
	if err = s.apply(next, up, drop); err != nil {
		s.log.Error("the rule was not changed: the one before stays in force", "err", err)
		status.LastError = config.RuleKey + ": " + err.Error()
		var refused []config.Change
		applied, refused = next.KeepRule(was.config, applied)
		for _, c := range refused {
			status.Refused = append(status.Refused,
				admin.Refused{Key: c.Key, Running: c.Old, New: c.New, Why: err.Error()})
		}
	}
	for _, c := range applied {
		s.log.Info("configuration changed", "key", c.Key, "old", c.Old, "new", c.New)
	}
	for _, c := range pending {
		s.log.Warn("configuration cannot be changed without a restart", "key", c.Key, "running", c.Old, "new", c.New)
		status.Pending = append(status.Pending, admin.Pending{Key: c.Key, Running: c.Old, New: c.New})
	}
	s.state.Store(&inForce{config: next, status: status})
	s.log.Info("configuration reloaded", "generation", status.Generation, "changed", len(applied),
		"pending_restart", len(pending))
	return err
}

// apply puts c into force in every part, see settings.apply. What changes is harmless to set to the same value again.
// drop: the rule is taken away although members have one. After an error, which is about the rule, the rule before
// stays, and all else is in force.
func (p *parts) apply(c *config.Config, conninfo *upstream.Config, drop bool) error {
	set := func() error { return p.node.SetRule(ruleText(c)) }
	if drop {
		set = p.node.DropRule
	}
	err := set()
	if err != nil {
		kept := *c
		kept.SynchronousStandbyNames = p.node.Status().Rule
		c = &kept
	}
	p.store.SetKeepSize(int64(c.WAL.KeepSize))
	p.archive.SetCommand(c.WAL.RestoreCommand)
	p.filler.SetSources(p.sources.Segments()...)
	p.hub.Tune(fanout.Tuning{
		AutoCreateSlots: c.Slots.AutoCreate, FeedbackMaxAge: uint64(c.Feedback.MaxAge), Limits: slotLimits(c),
		KeepPromoted: c.Slots.Promoted == "keep", Covered: c.CoversAny(),
	})
	p.node.RetainUntil(c.WAL.RetainUntil)
	p.maintainer.Tune(realslot.Tuning{
		Policy: realslot.Policy(c.Slots.Adopted), Mirror: realslot.Mirror(c.Slots.Mirror),
	})
	p.gate.SetMax(c.Auth.MaxUpstreamWalsenders)
	if tlsErr := p.tls.Set(tlsSettings(c)); tlsErr != nil { // they were good a moment ago
		p.advisor.log.Error("the TLS settings were not changed: the ones before stay in force", "err", tlsErr)
	}
	p.server.SetLimits(limits(c))
	p.access.Set(c.AccessSet())
	p.bindVoters(c)
	if p.verifier != nil {
		p.verifier.Tune(c.Auth.CacheTTL, c.Auth.CacheMaxAge)
		p.verifier.Expect(c.AccessSet().Verified())
	}
	if keysErr := p.members.rekey(); keysErr != nil { // so were these
		p.advisor.log.Error("the keys of cluster.key_file were not changed: the ones before stay in force",
			"err", keysErr)
	}
	if p.upstream.LeadsElsewhere(conninfo) { // by its own text, or by what that points to (ruling R47)
		p.upstream.Replace(conninfo)
		p.receiver.Reconnect()
	}
	return err
}
