package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/fanout"
	"github.com/replproxy/replproxy/fanout/backfill"
	"github.com/replproxy/replproxy/fanout/realslot"
	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/fanout/walsource"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/access"
	"github.com/replproxy/replproxy/handshake/clienttls"
	"github.com/replproxy/replproxy/handshake/roles"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/descriptors"
	"github.com/replproxy/replproxy/internal/logqueue"
	"github.com/replproxy/replproxy/proxy"
	"github.com/replproxy/replproxy/proxy/admin"
	"github.com/replproxy/replproxy/proxy/config"
	"github.com/replproxy/replproxy/proxy/gate"
	"github.com/replproxy/replproxy/proxy/physical"
)

// parts is a proxy: everything that [serve] opens, in that order, and that runs, is shown and hears of a new
// configuration. A part may call one that is opened later only from the time it runs.
type parts struct {
	Options
	settings *settings
	upstream *upstream.Config
	queue    *logqueue.Queue // of log's lines
	log      *slog.Logger
	files    *descriptors.Room // of open files
	started  time.Time

	// openStore
	fresh *newStore
	store *walstore.Store
	moved *walstore.Watcher
	slots *slot.Table

	// openCluster
	members *membership // nil without a cluster
	node    *cluster.Node
	feeder  *walsource.MemberStream // nil without a cluster

	// openSlots
	sources    *walsource.Ladder
	archive    *walsource.ArchiveSegments
	filler     *backfill.Filler
	own        *realslot.ProxySlot
	ruleGate   *realslot.RuleGate // nil without slots.rule_gate
	maintainer *realslot.Maintainer
	hub        *fanout.Hub

	// openStream
	gate     *gate.Gate
	receiver *walsource.Supply
	handler  *physical.Handler

	// openAuth
	verifier *roles.Lookup // nil with auth.method: relay
	tls      *clienttls.Reloader
	access   *access.Current
	voters   atomic.Pointer[access.Voters]

	// openListeners
	listeners   *listeners
	page        *admin.Server // nil without http
	memberParts []stage       // that hear other members

	// openServer
	server  *proxy.Server
	control *control // nil without a socket for it
	advisor *advisor
	view    *view
}

// bindVoters puts voters into force, which were found to be right when the configuration was read.
func (p *parts) bindVoters(c *config.Config) {
	if v, _, err := access.ParseVoters(c.Voters); err == nil {
		p.voters.Store(v)
	}
}

// part returns the logger of one part.
func (p *parts) part(name string) *slog.Logger { return p.log.With("part", name) }

// close closes the parts that have no goroutine and keeps the first error. The store, which all use, is last.
func (p *parts) close(err *error) {
	if p.server == nil && p.listeners != nil {
		*err = errors.Join(*err, p.listeners.close()) // no server runs that would close them
	}
	if p.moved != nil {
		p.moved.Close()
	}
	if p.store == nil {
		return
	}
	if closeErr := p.store.Close(); *err == nil && closeErr != nil {
		*err = fmt.Errorf("close store: %w", closeErr)
	}
}

// room calls [room] with the configuration in force.
func (p *parts) room() (int64, bool) { return room(p.settings.now()) }

func (p *parts) streaming() bool { return p.receiver.State() == walreceiver.Streaming }

func (p *parts) streams() (member string, ok bool) { return p.receiver.Streams() }

func (p *parts) following() (upstream.Endpoint, lsn.SystemID, lsn.TimelineID, bool) {
	return p.receiver.Following()
}

// runNode ends with exit code 2 where a member knows the name of a node that is new.
func (p *parts) runNode(ctx context.Context) error {
	err := p.node.Run(ctx)
	if errors.Is(err, cluster.ErrKnown) {
		err = UnusableError{err}
	}
	return err
}

// stages lists the parts that run, in the order in which they are started. A part that others need is started earlier
// and ended later.
func (p *parts) stages() []stage {
	var all []stage
	if p.page != nil {
		all = append(all, stage{"admin", p.page.Run})
	}
	if p.control != nil {
		all = append(all, stage{"control", p.control.Run})
	}
	all = append(all,
		stage{"store", p.store.Run}, stage{"backfill", p.filler.Run}, stage{"hub", p.hub.Run},
		stage{"covered", p.hub.RunCovered},
		stage{"slots", p.maintainer.Run}, stage{"own slot", p.own.Run}, stage{"cluster", p.runNode},
		stage{"store vote", (&storeVote{p.store, p.hub, p.node, p.settings, p.receiver, p.members.hears}).Run},
		stage{"walreceiver", p.receiver.Run}, stage{"advisor", p.advisor.Run})
	all = append(all, p.memberParts...)
	if p.verifier != nil {
		all = append(all, stage{"auth", p.verifier.Run})
	}
	return append(all, stage{"server", p.server.Run}, stage{"new store", p.fresh.Run},
		stage{"reload", p.settings.Run}, stage{"verdict", p.view.judge}, stage{"systemd", p.view.notify})
}
