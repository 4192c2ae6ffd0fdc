package daemon

import (
	"context"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/replproxy/replproxy/cmd/replproxy/preflight"
	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/handshake/access"
	"github.com/replproxy/replproxy/handshake/roles"
	"github.com/replproxy/replproxy/proxy"
	"github.com/replproxy/replproxy/proxy/admin"
	"github.com/replproxy/replproxy/proxy/config"
	"github.com/replproxy/replproxy/proxy/console"
	"github.com/replproxy/replproxy/proxy/physical"
	"github.com/replproxy/replproxy/proxy/relay"
)

// openAuth makes the parts that judge clients and speak to them before they are let in, and the walsender.
func (p *parts) openAuth(_ context.Context, c *config.Config) (err error) {
	p.verifier, err = openRoles(c, roles.Options{
		Upstream: p.upstream, Logger: p.part("auth"), Down: p.receiver.PrimaryDown, Shared: p.members.secret(),
		Fenced: func() bool { return p.node.Fences(p.store.Positions().Timeline) },
		Shown: func() (parameters, settings map[string]string) {
			s := p.receiver.Status()
			return s.Parameters, s.Settings
		},
	})
	if err != nil {
		return err
	}
	known := knownOf(p.receiver, p.verifier)
	p.handler, err = physical.New(physical.Options{
		AuthenticationTimeout: c.Limits.AuthenticationTimeout,
		Hub:                   p.hub, Upstream: p.dialer(), Gate: p.gate, Logger: p.part("walsender"),
		Settings:    func() map[string]string { _, settings := known(); return settings },
		Parameters:  func() map[string]string { parameters, _ := known(); return parameters },
		Stored:      storedOf(p.store),
		Followed:    followed{p.receiver, func() bool { return p.node.Fences(p.store.Positions().Timeline) }},
		Reserved:    p.node.Named,
		OwnSlots:    []string{c.SlotName(), c.Slots.RuleGate},
		Voters:      p.voters.Load,
		AskPrimary:  askPrimary(p.upstream),
		Console:     func(c console.Client) *console.Session { return console.New(p.shown, c) },
		ConnectWait: func() time.Duration { return p.settings.now().Upstream.ConnectWait },
		Finding:     p.receiver.Finding,
	})
	if err != nil {
		return err
	}
	p.bindVoters(c)
	p.access = &access.Current{}
	p.access.Set(c.AccessSet())
	p.tls, err = openTLS(c, p.part("tls"))
	return err
}

// shown returns a snapshot for the console.
func (p *parts) shown() *console.Snapshot {
	s := p.view.Status()
	s.Ready, s.NotReady = admin.Readiness(&s)
	return &console.Snapshot{Status: &s, Sessions: p.server.Sessions(), PID: os.Getpid()}
}

// openListeners listens, for clients and browsers. Nothing is accepted yet.
func (p *parts) openListeners(ctx context.Context, c *config.Config) error {
	httpTLS, token, err := openHTTP(c, p.part("admin"))
	if err != nil {
		return err
	}
	if p.listeners, err = openListeners(ctx, c); err != nil {
		return err
	}
	p.view = newView(p)
	if p.listeners.http != nil {
		p.page = admin.New(admin.Options{
			TLS: configOf(httpTLS), Token: token, Hosts: httpHosts(c),
			Listener: p.listeners.http, Source: p.view, Tail: tailHandler(p.node), Profiles: p.Profiles,
			Logger: p.part("admin"),
		})
	}
	if p.members == nil {
		return nil
	}
	p.memberParts, err = p.members.open(c, p.node, p.part("cluster"))
	p.memberParts = append(p.memberParts, stage{"feed", feeds(p.node, p.feeder, p.receiver)})
	return err
}

// openServer makes the parts that take connections, and those that answer and inform operators.
func (p *parts) openServer(_ context.Context, c *config.Config) (err error) {
	p.control, err = openControl(c.DataDir, p.node, p.settings, p.receiver.Seen, p.primaryWaits, p.view, p.log)
	if err != nil {
		return err
	}
	listeners := slices.Clone(p.listeners.clients)
	if p.members != nil {
		listeners = append(listeners, p.members.wal)
	}
	wait := func() time.Duration { return p.settings.now().Upstream.ConnectWait }
	p.server, err = proxy.New(proxy.Options{
		Listeners: listeners, Upstream: p.relayed(p.dialer()), Physical: p.handler, Database: p.handler,
		Console: p.handler,
		TLS:     p.tls, Node: p.members.number(c.Name), Access: p.access, Roles: rolesOf(p.verifier),
		Limits: limits(c), AuthenticationTimeout: c.Limits.AuthenticationTimeout,
		ConnectWait: wait, Tight: p.files.Tight, Logger: p.part("proxy"),
		NewestMinor: func() uint16 { return handshake.NewestMinor(p.receiver.ServerVersionNum()) },
	})
	if err != nil {
		return err
	}
	// What the relay's loops keep while they are busy is not taken from the WAL path.
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + p.server.Loops())
	p.advisor = &advisor{
		upstream: p.upstream, setup: func() preflight.Setup {
			s := setup(p.settings.now(), p.upstream, p.tls.Certificate())
			s.Forgotten = p.node.Forgotten()
			return s
		},
		generation: func() int { return p.settings.state.Load().status.Generation },
		hub:        p.hub, receiver: p.receiver, log: p.log,
	}
	return nil
}

// dialer gives clients' log-ins connections to the primary.
func (p *parts) dialer() proxy.Dialer { return dialer(p.upstream, p.files, p.makeRoom) }

// relayed returns d for sessions that are relayed, where the operator lets them go to the server that is followed.
func (p *parts) relayed(d proxy.Dialer) proxy.Dialer {
	return proxy.DialerFunc(func(ctx context.Context, wait time.Duration) (*relay.Upstream, error) {
		if err := p.receiver.Relayable(); err != nil {
			return nil, err
		}
		return d.Dial(ctx, wait)
	})
}

// makeRoom ends a session of the server to free descriptors. The server is made after those that ask for it.
func (p *parts) makeRoom() bool { return p.server != nil && p.server.MakeRoom() }
