package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/replproxy/replproxy/cluster/identity"
	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/internal/nudge"
)

const (
	// rejoinInterval: with 5 s, members were one again 3 s after a partition (measured).
	rejoinInterval = 5 * time.Second
	// leaveTimeout bounds each half of the good-bye, so that a stop is prompt when nobody listens.
	leaveTimeout = time.Second
	// streamTimeout bounds dialling and a push/pull. A partition must not hold up the rejoin loop.
	streamTimeout = 5 * time.Second
)

// pace has the intervals at which members look for each other, and their time-outs.
type pace struct {
	probe, probeTimeout time.Duration
	// reclaim lets a proxy come back with another address, as in a container.
	reclaim time.Duration
	// exchange is the interval at which all that is known is told to one other member. A member that came back
	// elsewhere before the others had taken it for dead is up for them by nothing else. It sees them all, so it asks no
	// seed again.
	exchange time.Duration
}

// usual allows for round trips between sites. The library's 30 s between exchanges are for thousands of members.
func usual() pace {
	return pace{probe: 2 * time.Second, probeTimeout: time.Second, reclaim: 10 * time.Second, exchange: 5 * time.Second}
}

// Options of New. All but Advertise and Join are required.
type Options struct {
	Node      *identity.Node
	Members   *identity.Members
	Listener  *link.Listener
	Packets   net.PacketConn // UDP on the listener's address; owned and closed by Run
	Advertise string         // host:port that others reach; "" is the listener's own
	Join      []string       // seeds, host:port
	Keys      *Keys
	Logger    *slog.Logger
}

// Gossip knows which members are up, as far as this proxy hears. Any goroutine may call its methods. Make it with
// [New].
type Gossip struct {
	Options
	pace      pace
	transport *transport
	changed   nudge.Chan
	refused   atomic.Uint64
	stopping  atomic.Bool
	stranger  bool // the seeds refuse this proxy, as far as Run saw it last

	mu   sync.Mutex
	live map[string]string // addresses by name, as the events have them
}

// New registers the streams of gossip at the listener, which must not run yet. It starts nothing. An error is about
// Options.Advertise.
func New(o Options) (*Gossip, error) {
	ip, port, err := advertised(o.Advertise, o.Listener.Addr())
	if err != nil {
		return nil, err
	}
	g := &Gossip{Options: o, pace: usual(), changed: nudge.New(), live: map[string]string{}}
	g.transport = newTransport(o, ip, port)
	o.Listener.Handle(streamProtocol, g.transport.serve)
	return g, nil
}

// Live returns the configured members that are up, without this proxy, by name.
func (g *Gossip) Live() []link.Peer {
	g.mu.Lock()
	defer g.mu.Unlock()
	live := make([]link.Peer, 0, len(g.live))
	for name, addr := range g.live {
		live = append(live, link.Peer{Name: name, Addr: addr})
	}
	slices.SortFunc(live, func(a, b link.Peer) int { return strings.Compare(a.Name, b.Name) })
	return live
}

// Changed returns a channel with room for one token, which it gets when Live may have changed.
func (g *Gossip) Changed() <-chan struct{} { return g.changed }

// Refused counts the strangers whose claim to be a member was turned down.
func (g *Gossip) Refused() uint64 { return g.refused.Load() }

// Run takes part until ctx ends, then says good-bye and returns the cause. The Listener must run beside it.
func (g *Gossip) Run(ctx context.Context) error {
	c := g.config()
	stop := g.transport.start(ctx)
	defer stop()
	list, err := memberlist.Create(c)
	if err != nil {
		return fmt.Errorf("gossip: %w", err)
	}
	g.Keys.attach(c.Keyring)
	defer g.leave(list)
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-t.C:
			g.rejoin(list)
			t.Reset(rejoinInterval)
		}
	}
}

// leave says good-bye: first that this proxy stops, which memberlist does not pass on with the good-bye itself.
func (g *Gossip) leave(list *memberlist.Memberlist) {
	g.stopping.Store(true)
	err := list.UpdateNode(leaveTimeout)
	if left := list.Leave(leaveTimeout); left != nil {
		err = left
	}
	if err != nil {
		g.Logger.Info("nobody heard our good-bye", "err", err)
	}
	_ = list.Shutdown()
}

// rejoin asks the seeds while a member is missing.
func (g *Gossip) rejoin(list *memberlist.Memberlist) {
	if len(g.Join) == 0 || len(g.Live()) >= len(g.Members.Names())-1 {
		return
	}
	n, err := list.Join(g.Join)
	if refused := identity.Refused(err); refused != g.stranger {
		if g.stranger = refused; refused {
			g.Logger.Warn("no proxy of cluster.join takes this one for a member: give all the same cluster.members, "+
				"and restart each", "join", g.Join, "line", g.Node.Line(), "err", err)
		}
	}
	if err != nil {
		g.Logger.Debug("no seed of the cluster answers", "join", g.Join, "err", err)
	} else {
		g.Logger.Debug("asked the seeds of the cluster", "answered", n)
	}
}

// up and down keep our own list: memberlist's nodes change under the reader (a data race, v0.7.0),
// except within its callbacks.
func (g *Gossip) up(n *memberlist.Node) {
	if n.Name == g.Node.Name {
		return
	}
	g.mu.Lock()
	g.live[n.Name] = n.FullAddress().Addr
	g.mu.Unlock()
	g.changed.Wake()
}

func (g *Gossip) down(name string) {
	g.mu.Lock()
	delete(g.live, name)
	g.mu.Unlock()
	g.changed.Wake()
}

// config returns memberlist's configuration for a LAN, with time for links between sites.
func (g *Gossip) config() *memberlist.Config {
	c := memberlist.DefaultLANConfig()
	c.Name = g.Node.Name
	c.Transport = g.transport
	c.AdvertiseAddr, c.AdvertisePort = g.transport.ip.String(), g.transport.port
	c.TCPTimeout = streamTimeout
	c.ProbeTimeout, c.ProbeInterval = g.pace.probeTimeout, g.pace.probe
	c.DeadNodeReclaimTime, c.PushPullInterval = g.pace.reclaim, g.pace.exchange
	c.EnableCompression = false // a few small messages; nothing is unpacked for strangers
	c.Keyring = g.Keys.ring()
	c.RequireNodeNames = false // a seed is an address
	c.Events, c.Alive, c.Delegate = events{g}, alive{g}, delegate{g}
	c.LogOutput = newLogWriter(g.Logger)
	return c
}

// events nudges whoever watches.
type events struct{ g *Gossip }

func (e events) NotifyJoin(n *memberlist.Node) {
	e.g.Logger.Info("cluster member is up", "member", n.Name, "addr", n.Address())
	e.g.up(n)
}

func (e events) NotifyLeave(n *memberlist.Node) {
	if string(n.Meta) == stops {
		e.g.Logger.Info("cluster member has stopped", "member", n.Name, "addr", n.Address())
	} else {
		e.g.Logger.Warn("cluster member is down", "member", n.Name, "addr", n.Address())
	}
	e.g.down(n.Name)
}

func (e events) NotifyUpdate(n *memberlist.Node) { e.g.up(n) }

// stops is a member's meta data when it is about to say good-bye. Whether one did memberlist does not tell: nothing
// sets the State of the node that it gives (v0.7.0). Release v0.1.0 neither says nor heeds it.
const stops = "stops"

// delegate gives the meta data of this proxy, and nothing else.
type delegate struct{ g *Gossip }

func (d delegate) NodeMeta(int) []byte {
	if d.g.stopping.Load() {
		return []byte(stops)
	}
	return nil
}

func (delegate) NotifyMsg([]byte)                {}
func (delegate) GetBroadcasts(int, int) [][]byte { return nil }
func (delegate) LocalState(bool) []byte          { return nil }
func (delegate) MergeRemoteState([]byte, bool)   {}

// alive refuses names that are not configured.
type alive struct{ g *Gossip }

func (a alive) NotifyAlive(n *memberlist.Node) error {
	if !a.g.Members.Has(n.Name) {
		a.g.refused.Add(1)
		return fmt.Errorf("%q is no configured cluster member", n.Name)
	}
	return nil
}

// advertised returns the address that others are told: addr, "host:port", or own where addr is "". An error is about
// the configuration: own is no single address.
func advertised(addr string, own net.Addr) (net.IP, int, error) {
	tcp, ok := own.(*net.TCPAddr)
	if !ok {
		return nil, 0, fmt.Errorf("cluster.bind %s is no TCP address", own)
	}
	if addr == "" {
		if !tcp.IP.IsUnspecified() {
			return tcp.IP, tcp.Port, nil
		}
		return nil, 0, errors.New("cluster.bind names no single address: " +
			"set cluster.advertise to the host:port that the other proxies reach")
	}
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, 0, fmt.Errorf("cluster.advertise: %w", err)
	}
	port, err := strconv.Atoi(service)
	if err != nil || port < 1 || port > 65535 {
		return nil, 0, fmt.Errorf("cluster.advertise: port %q", service)
	}
	ip, err := net.ResolveIPAddr("ip", host)
	if err != nil {
		return nil, 0, fmt.Errorf("cluster.advertise: %w", err)
	}
	return ip.IP, port, nil
}
