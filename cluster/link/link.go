package link

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/replproxy/replproxy/cluster/identity"
)

const (
	heartbeat = time.Second
	// silence ends a connection: several heartbeats lost, less than a walsender's timeout.
	silence = 6 * time.Second
	// resyncInterval repeats everything, should a mistake of ours ever lose an item.
	resyncInterval = 30 * time.Second
	// writeTimeout bounds a write to a peer that does not read.
	writeTimeout = silence
	// writePiece bounds a write, so that any link manages one within writeTimeout.
	writePiece   = 16 << 10
	dialTimeout  = 5 * time.Second
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = 3 * time.Second
)

// Recovery is the longest time for which a reachable peer goes unheard after its connection broke silently. It is the
// time to notice that, then a dial that hangs, then the delay before the next dial.
const Recovery = silence + dialTimeout + lastBackoff

// Peer is a proxy that is up, and its address.
type Peer struct{ Name, Addr string }

// Directory lists the members that are up. Changed has room for one token and gets it when Live may have changed.
type Directory interface {
	Live() []Peer
	Changed() <-chan struct{}
}

// Sink is told what peers say of themselves. Calls for one peer do not overlap; they must not block.
// Between Up and Down come Items; an error of Item is logged, counted, and ends the connection.
type Sink interface {
	// Up says that a peer is heard, in a message version.
	Up(peer string, version int)
	// Heard comes with every frame, heartbeats included: the peer is alive.
	Heard(peer string)
	Item(peer string, version int, id ID, payload []byte) error
	Gone(peer string, id ID)
	// Down means that nothing is heard of the peer for now. Its items are not gone by that.
	Down(peer string)
	// Conflict means that two live proxies hold the peer's name and key: no item of it is valid.
	Conflict(peer string)
}

// Options of New. Everything but Version is required.
type Options struct {
	Node      *identity.Node
	Members   *identity.Members
	Listener  *Listener
	Directory Directory
	Outbox    *Outbox
	Sink      Sink
	Logger    *slog.Logger
	Version   int // the highest message version to speak; 0: Newest
}

// Link exchanges items with all members that are up. Make it with [New].
type Link struct {
	Options
	run uint64 // this process, by a random number

	mu       sync.Mutex
	registry nameRegistry
	conns    uint64
	senders  map[string]*sender
	gone     map[string]*sender // the last one of each peer that is not up any more, for Status
	inbound  map[string]*inbound
	garbled  uint64
	clashes  uint64
}

// New registers the link at the listener; Run starts it.
func New(o Options) *Link {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	if o.Version == 0 {
		o.Version = Newest
	}
	l := &Link{
		Options: o, run: binary.BigEndian.Uint64(b[:]) | 1, registry: nameRegistry{map[string]*nameHolder{}},
		senders: map[string]*sender{}, gone: map[string]*sender{}, inbound: map[string]*inbound{},
	}
	o.Listener.renamed = func(e identity.RenamedError) { l.understood(e.Member, e.Error()) }
	for _, p := range protocols(l.Version) {
		o.Listener.Handle(p, func(ctx context.Context, peer string, conn net.Conn) {
			l.receive(ctx, peer, versionOf(p), conn)
		})
	}
	return l
}

// Run keeps a sender for each live member until ctx ends, whose cause it returns once all have ended. Members that
// cannot be reached are tried again. Call it once.
func (l *Link) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	type running struct {
		addr string
		stop context.CancelFunc
	}
	all := map[string]running{}
	defer func() {
		for _, r := range all {
			r.stop()
		}
	}()
	for {
		live := map[string]string{}
		for _, p := range l.Directory.Live() {
			if p.Name != l.Node.Name && l.Members.Has(p.Name) {
				live[p.Name] = p.Addr
			}
		}
		for name, r := range all {
			if live[name] != r.addr {
				r.stop()
				delete(all, name)
			}
		}
		for name, addr := range live {
			if _, ok := all[name]; ok {
				continue
			}
			sctx, stop := context.WithCancel(ctx)
			all[name] = running{addr, stop}
			s := newSender(l, Peer{name, addr})
			wg.Go(func() { s.keep(sctx) })
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-l.Directory.Changed():
		}
	}
}

// PeerStatus describes the connections with one member.
type PeerStatus struct {
	Name      string
	Addr      string    // as gossip has it; empty when it is not up
	Sending   bool      // our items reach it
	Heard     time.Time // of its items, or heartbeats; zero: not now
	Last      time.Time // the same, also of one that is not connected any more
	LastAddr  string    // where it was last
	LastError string
	// Version is that of the messages: the lower one of both directions; 0: there is no connection.
	Version int
	// Strange says why the member can't be understood; "": it can, or was not heard.
	Strange string
}

// Status is a picture for operators.
type Status struct {
	Peers   []PeerStatus // all configured members but this one, by name
	Refused uint64       // connections that did not prove a member's name
	Garbled uint64       // connections ended because of a message on them
	Clashes uint64       // times that two live proxies held one name
}

// Status returns the counts of the link, and each member as it is connected now. It may be called from any goroutine.
func (l *Link) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	st := Status{Refused: l.Listener.Refused(), Garbled: l.garbled, Clashes: l.clashes}
	for _, name := range l.Members.Names() {
		if name == l.Node.Name {
			continue
		}
		p := PeerStatus{Name: name}
		if in := l.inbound[name]; in != nil {
			p.Heard, p.Last, p.Version, p.Strange = in.heard, in.last, in.version, in.strange
		}
		if s := l.gone[name]; s != nil {
			p.LastAddr, p.LastError = s.peer.Addr, s.last
		}
		if s := l.senders[name]; s != nil {
			p.Addr, p.LastAddr, p.Sending, p.LastError = s.peer.Addr, s.peer.Addr, s.up, s.last
			if s.up && (p.Version == 0 || s.version < p.Version) {
				p.Version = s.version
			}
			if s.strange {
				p.Strange = s.last
			}
		}
		st.Peers = append(st.Peers, p)
	}
	slices.SortFunc(st.Peers, func(a, b PeerStatus) int { return strings.Compare(a.Name, b.Name) })
	return st
}

// inbound keeps the state of one peer's incoming connection. Its lock keeps the calls of the Sink for that peer apart;
// link.mu may be taken under it, not the other way round.
type inbound struct {
	mu    sync.Mutex
	known map[ID]bool // what the Sink was told and was not told to be gone, over all connections
	// Under link.mu: when something was heard, in which version, and what was not understood since the last snapshot.
	heard   time.Time
	last    time.Time // heard, kept when it leaves
	version int
	strange string
}

func (l *Link) peer(name string) *inbound {
	l.mu.Lock()
	defer l.mu.Unlock()
	in := l.inbound[name]
	if in == nil {
		in = &inbound{known: map[ID]bool{}}
		l.inbound[name] = in
	}
	return in
}

// errReplaced ends a connection that a newer one of the same proxy took over from.
var errReplaced = errors.New("a newer connection took over")

// errClash ends connections of a name that two live proxies hold.
var errClash = errors.New("two live proxies hold this name and key: stop one of them")
