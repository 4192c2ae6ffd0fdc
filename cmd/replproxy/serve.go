package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/cluster/puller"
	"github.com/replproxy/replproxy/cmd/replproxy/preflight"
	"github.com/replproxy/replproxy/fanout"
	"github.com/replproxy/replproxy/fanout/realslot"
	"github.com/replproxy/replproxy/fanout/sharing"
	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/syncrep"
	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/handshake/access"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/proxy"
	"github.com/replproxy/replproxy/proxy/admin"
	"github.com/replproxy/replproxy/proxy/config"
	"github.com/replproxy/replproxy/proxy/console"
	"github.com/replproxy/replproxy/proxy/physical"
)

func runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Stand in front of a primary until SIGTERM (orderly) or a second one (at once)",
		Args:  cobra.NoArgs,
	}
	file := configFlags(cmd)
	profiles := cmd.Flags().Bool("pprof", false, "serve Go's profiles at /debug/pprof of the http address")
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
			return c, up, err
		}
		c, up, err := read()
		if err != nil {
			return err
		}
		set := newSettings(c, *file)
		bad := withoutCores()
		log := newLogger(c, set.level, cmd.ErrOrStderr())
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
		go func() { done <- serve(soft, set, up, log, *profiles) }()
		select {
		case err := <-done:
			return err
		case <-hard.Done():
			// The store survives this as it survives kill -9.
			log.Warn("second signal: leaving at once")
			return silentError{exitFailure}
		}
	}
	return cmd
}

func newLogger(c *config.Config, level slog.Leveler, w io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// serve opens everything, from the disk outward, runs it until ctx ends, and closes it in reverse.
func serve(ctx context.Context, set *settings, up *upstream.Config, log *slog.Logger, profiles bool) (err error) {
	c := set.now()
	roomNow := func() (int64, bool) { return room(set.now()) }
	store, err := walstore.Open(ctx, walstore.Options{
		Dir: c.DataDir, KeepSize: int64(c.WAL.KeepSize), Logger: log.With("part", "walstore"),
		Short: func() bool { left, known := roomNow(); return known && left < 0 },
	})
	if err != nil {
		return openFailed(c, err)
	}
	defer closing(&err, store)
	slots, err := slot.Open(filepath.Join(c.DataDir, "slots"), slot.Options{Node: clusterNode(c)})
	if err != nil {
		return fmt.Errorf("open slots: %w", err)
	}
	var receiver *walreceiver.Receiver
	var hub *fanout.Hub
	moved := store.Watch(walstore.MovedWritten | walstore.MovedFlushed | walstore.MovedTimeline)
	defer moved.Close()
	streaming := func() bool { return receiver.State() == walreceiver.Streaming }
	members, err := newMembership(c, puller.Options{
		System:  func() lsn.SystemID { id, _ := store.Identity(); return id.System },
		Streams: func() (string, bool) { return receiver.Streams() },
		Changed: func() { receiver.Redirect() },
		Logger:  log.With("part", "cluster"),
	})
	if err != nil {
		return err
	}
	filler := newFiller(c, up, members, store, roomNow, streaming, log.With("part", "backfill"))
	var outbox *link.Outbox
	var via walreceiver.Via
	var finder walreceiver.Primary
	if members != nil {
		outbox, finder = members.outbox, realslot.Finder{Upstream: up}
		if c.Upstream.Via == config.ViaCluster {
			via = &viaCluster{up, members}
		}
	}
	node, err := cluster.New(cluster.Options{
		Name: c.Name, Dir: clusterDir(c.DataDir), Members: members.others(c.Name), Outbox: outbox,
		Timeout: memberTimeout, Demand: demand(c), Logger: log.With("part", "cluster"),
		Details: func() cluster.Details { return details(store, hub.Standbys, receiver.Promised()) },
		Store:   &ownStore{store, moved, streaming},
	})
	if errors.Is(err, ledger.ErrRefused) {
		return usageError{fmt.Errorf("unusable configuration\n%w", c.At(ruleKey, err))}
	}
	if err != nil {
		return err
	}
	var feed *feeder
	var mates fanout.Members
	if members != nil {
		members.slots = sharing.New(sharing.Options{
			Slots: slots, Members: &slotMembers{members, node}, Logger: log.With("part", "slots"),
			Keeps: func(i slot.Info) bool { return hub.KeepsWAL(i) }, Heard: func() { hub.SlotsHeard() },
		})
		mates = members.slots
		feed = &feeder{up: up, members: members, node: node, rest: via, log: log.With("part", "cluster")}
		via = feed
	}
	acks := newStandbyAcks(node)
	following := func() (upstream.Endpoint, lsn.SystemID, lsn.TimelineID, bool) { return receiver.Following() }
	own := realslot.NewOwn(realslot.OwnOptions{
		Upstream: up, Slot: c.SlotName(), Logger: log.With("part", "slots"),
		Flushed: func() lsn.LSN { return store.Positions().Flushed },
		Fed:     func() bool { return receiver.Status().Fed }, Following: following,
	})
	keeper := realslot.New(realslot.Options{
		Upstream: up, Following: following, Own: c.SlotName(), Slots: slots, Policy: realslot.Policy(c.Slots.Adopted),
		Mirror:  realslot.Mirror(c.Slots.Mirror),
		Store:   func() (oldest, flushed lsn.LSN) { p := store.Positions(); return p.Oldest, p.Flushed },
		Settled: func() bool { _, settled := hub.Feedback(); return settled },
		OwnLost: func() {
			if !own.Status().Held { // or it is made anew beside the stream
				receiver.SlotLost()
			}
		},
		Apart:  func() bool { return own.Status().Held },
		Logger: log.With("part", "slots"),
	})
	hub = fanout.New(fanout.Options{
		Primary: keeper, NextXID: keeper.NextXID, Members: mates,
		Store: fanout.NewFilledStore(store, filler.Filler), Slots: slots, AutoCreateSlots: c.Slots.AutoCreate,
		Acks: acks, SyncStates: acks.syncStates, RetainUntil: retainUntil(c),
		Limits: slotLimits(c), FeedbackSettle: c.Feedback.Settle, FeedbackMaxAge: uint64(c.Feedback.MaxAge),
		Logger: log.With("part", "hub"),
	})
	gate := physical.NewGate(c.Auth.MaxUpstreamWalsenders)
	receiver, err = walreceiver.New(walreceiver.Options{
		Upstream: up, Name: c.Name, Slot: c.SlotName(), Store: store, Feedback: hub.UpstreamFeedback(), Gate: gate,
		Quorum: reporterQuorum{node}, Mirrors: keeper, Via: via, Primary: finder,
		Keeper: own, Restore: restorer(store, set.now),
		Accepted: acceptedTimeline(c.DataDir, log), Others: node.Promised,
		Logger: log.With("part", "walreceiver"),
	})
	if err != nil {
		return err
	}
	verifier, err := openRoles(c, up, func() (parameters, settings map[string]string) {
		s := receiver.Status()
		return s.Parameters, s.Settings
	}, log.With("part", "auth"))
	if err != nil {
		return err
	}
	known := knownOf(receiver, verifier)
	var shown *view
	handler, err := physical.New(physical.Options{
		AuthenticationTimeout: c.Limits.AuthenticationTimeout,
		Hub:                   hub, Upstream: dialer(up, noWait), Gate: gate, Logger: log.With("part", "walsender"),
		Settings:   func() map[string]string { _, settings := known(); return settings },
		Parameters: func() map[string]string { parameters, _ := known(); return parameters },
		Console: func(query string) (console.Table, error) {
			s := shown.Status()
			s.Ready, s.NotReady = admin.Readiness(&s)
			return console.Answer(query, &s)
		},
	})
	if err != nil {
		return err
	}
	secure, err := openTLS(c, log.With("part", "tls"))
	if err != nil {
		return err
	}
	httpTLS, token, err := openHTTP(c, log.With("part", "admin"))
	if err != nil {
		return err
	}
	admit := &access.Keeper{}
	admit.Set(c.AccessSet())
	doors, err := openDoors(ctx, c)
	if err != nil {
		return err
	}
	listeners := slices.Clone(doors.clients)
	var memberStages []stage
	if members != nil {
		if memberStages, err = members.open(c, node, log.With("part", "cluster")); err != nil {
			return errors.Join(err, doors.close())
		}
		listeners = append(listeners, members.wal)
		memberStages = append(memberStages, stage{"feed", feed.run(receiver)})
	}
	wait := func() time.Duration { return set.now().Upstream.ConnectWait }
	server, err := proxy.New(proxy.Options{
		Listeners: listeners, Upstream: dialer(up, wait), Physical: handler, Console: handler,
		TLS: secure, Node: members.number(c.Name), Access: admit, Roles: rolesOf(verifier),
		Limits: limits(c), AuthenticationTimeout: c.Limits.AuthenticationTimeout,
		ConnectWait: wait, Logger: log.With("part", "proxy"),
		NewestMinor: func() uint16 { return handshake.NewestMinor(receiver.Status().ServerVersionNum) },
	})
	if err != nil {
		return errors.Join(err, doors.close())
	}
	// What the relay's loops keep while they are busy is not taken from the WAL path.
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + server.Loops())
	control, err := openControl(c.DataDir, node, set, log)
	if err != nil {
		return errors.Join(err, doors.close())
	}
	advisor := &advisor{
		upstream: up, setup: func() preflight.Setup { return setup(set.now(), up, secure.Certificate()) },
		hub: hub, receiver: receiver, log: log,
	}
	set.apply = (&parts{
		up, store, filler, hub, keeper, gate, receiver, node, advisor, secure, admit, verifier, server, members,
	}).apply
	view := &view{
		settings: set, build: readBuild(), started: time.Now(), listen: doors.addresses(),
		store: store, filler: filler, hub: hub, keeper: keeper, receiver: receiver, node: node,
		server: server, advisor: advisor,
		own: own, tls: secure, verifier: verifier, members: members,
	}
	shown = view
	stages := []stage{
		{"store", store.Run}, {"backfill", filler.Run}, {"hub", hub.Run}, {"slots", keeper.Run}, {"own slot", own.Run},
		{"cluster", node.Run},
		{"ballot", (&ballot{store, hub, node, set, log.With("part", "cluster")}).Run},
		{"walreceiver", receiver.Run}, {"advisor", advisor.Run},
	}
	stages = append(stages, memberStages...)
	if verifier != nil {
		stages = append(stages, stage{"auth", verifier.Run})
	}
	if control != nil {
		stages = append([]stage{{"control", control.Run}}, stages...)
	}
	if doors.http != nil {
		page := admin.New(admin.Options{
			TLS: configOf(httpTLS), Token: token,
			Listener: doors.http, Source: view, Tail: tailHandler(node), Profiles: profiles,
			Logger: log.With("part", "admin"),
		})
		stages = append([]stage{{"admin", page.Run}}, stages...)
	}
	announce(log, c, up, doors)
	stages = append(stages, stage{"server", server.Run}, stage{"reload", set.Run}, stage{"systemd", view.notify})
	return runStages(ctx, stages)
}

// announce says once what this proxy is, where it listens and what it stands in front of.
func announce(log *slog.Logger, c *config.Config, up *upstream.Config, d *doors) {
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

// openFailed adds what to do next to the errors of a data directory.
func openFailed(c *config.Config, err error) error {
	next := ""
	switch {
	case errors.Is(err, walstore.ErrLocked):
		next = "; stop that one first, or give this one a data_dir (--data-dir) of its own"
	case errors.Is(err, walstore.ErrForeignDir):
		next = "; name an empty directory in data_dir (--data-dir), or one that a replproxy made"
	case errors.Is(err, walstore.ErrDamaged):
		next = "; the store can be made anew from the primary: move the directory away and start again"
	default:
		next = "; the user that runs replproxy must be able to write to data_dir (--data-dir)"
	}
	return fmt.Errorf("open store %s: %w%s", c.DataDir, err, next)
}

// closing closes the store after everything else and keeps the first error.
func closing(err *error, store *walstore.Store) {
	if closeErr := store.Close(); *err == nil && closeErr != nil {
		*err = fmt.Errorf("close store: %w", closeErr)
	}
}
