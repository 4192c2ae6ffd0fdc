package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/cluster/gossip"
	"github.com/replproxy/replproxy/cluster/identity"
	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/cluster/puller"
	"github.com/replproxy/replproxy/fanout/sharing"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/admin"
	"github.com/replproxy/replproxy/proxy/config"
)

// memberTimeout is how long a member may be silent before its standbys' votes are dropped and only its
// rule is remembered. Dropping can only lower what is reported (FIRST keeps them, ruling R5); a standby
// that has moved from a dead proxy to a living one counts again after this time. It is longer than a broken
// connection between members that live takes to mend, and a quarter of wal_sender_timeout's default, so a
// member is silent before the primary or a standby gives up. memberlist's own verdict (4 to 24 s) says to
// whom links are kept, not who counts.
const memberTimeout = link.Recovery + time.Second

// notHeard delays the warning of a member whose connection has ended: it may be restarted.
const notHeard = 5 * time.Second

// clusterDir is the part of data_dir that holds a node's key and what it must not forget.
func clusterDir(dataDir string) string { return filepath.Join(dataDir, "cluster") }

// membership is how this proxy reaches the others; nil without a cluster.
type membership struct {
	self    *identity.Node
	members *identity.Members
	keys    *gossip.Keys
	outbox  *link.Outbox

	node   *cluster.Node
	door   *link.Door
	wal    *link.Listener // what other members stream WAL over
	gossip *gossip.Gossip
	link   *link.Link
	puller *puller.Puller
	slots  *sharing.Sharing
}

// newMembership reads keys and names; p are the options of the puller that are not of the configuration.
// Errors are.
func newMembership(c *config.Config, p puller.Options) (*membership, error) {
	if c.Cluster.Bind == "" {
		return nil, nil
	}
	bad := func(key string, err error) error {
		return UnusableError{fmt.Errorf("unusable configuration\n%w", c.At(key, err))}
	}
	m := &membership{outbox: link.NewOutbox()}
	p.Node, p.Follow, p.Outbox = c.Name, c.Upstream.Via == config.ViaCluster, m.outbox
	p.Heard = m.heard
	m.puller = puller.New(p)
	var err error
	if m.members, err = identity.ParseMembers(c.Cluster.Members); err != nil {
		return nil, bad("cluster.members", err)
	}
	if m.keys, err = gossip.ReadKeys(c.Cluster.KeyFile); err != nil {
		return nil, bad("cluster.key_file", err)
	}
	if m.self, err = identity.Open(clusterDir(c.DataDir), c.Name); err != nil {
		return nil, bad("name", err)
	}
	if err = m.members.Check(m.self); err != nil {
		return nil, bad("cluster.members", err)
	}
	return m, nil
}

// others are the names of the other members.
func (m *membership) others(own string) (names []string) {
	if m == nil {
		return nil
	}
	for _, name := range m.members.Names() {
		if name != own {
			names = append(names, name)
		}
	}
	return names
}

// key tells another member from a later one of its name.
func (m *membership) key(name string) string {
	if m == nil {
		return ""
	}
	return m.members.Key(name)
}

// heard are the members as they may be streamed from: one whose WAL is other WAL is as good as silent.
func (m *membership) heard() []link.PeerStatus {
	peers := m.link.Status().Peers
	for i := range peers {
		if m.node.OtherWAL(peers[i].Name) {
			peers[i].Heard = time.Time{}
		}
	}
	return peers
}

// open listens and lets node hear and be heard. The stages end in the reverse order.
func (m *membership) open(c *config.Config, node *cluster.Node, log *slog.Logger) ([]stage, error) {
	tcp, udp, err := listenCluster(context.Background(), c.Cluster.Bind)
	if err != nil {
		return nil, err
	}
	m.node = node
	m.door = link.NewDoor(tcp, m.self, m.members, log)
	m.wal = m.door.Listen(puller.Protocol)
	for _, protocol := range sharing.Protocols() {
		m.door.Handle(protocol, func(ctx context.Context, member string, conn net.Conn) {
			m.slots.Serve(ctx, member, protocol, conn)
		})
	}
	m.gossip, err = gossip.New(gossip.Options{
		Node: m.self, Members: m.members, Door: m.door, Packets: udp, Advertise: c.Cluster.Advertise,
		Join: c.Cluster.Join, Keys: m.keys, Logger: log,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cluster.advertise: %w", err), tcp.Close(), udp.Close())
	}
	m.link = link.New(link.Options{
		Node: m.self, Members: m.members, Door: m.door, Directory: m.gossip, Outbox: m.outbox,
		Sink: m.puller.Sink(node.Peers()), Logger: log,
	})
	return []stage{
		{"door", m.door.Run}, {"gossip", m.gossip.Run}, {"link", m.link.Run}, {"puller", m.puller.Run},
		{"sharing", m.slots.Run},
	}, nil
}

// status is the picture of the links; nil without a cluster.
func (m *membership) status() *admin.Cluster {
	if m == nil {
		return nil
	}
	l, failing := m.link.Status(), m.slots.Failing()
	c := &admin.Cluster{
		Peers: []admin.Peer{}, Refused: l.Refused, Garbled: l.Garbled, Clashes: l.Clashes,
		DroppedUnconfirmed: m.slots.Dropped(),
	}
	for _, p := range l.Peers {
		c.Peers = append(c.Peers, admin.Peer{
			Name: p.Name, Addr: p.LastAddr, Sending: p.Sending, Heard: utc(p.Heard), LastHeard: utc(p.Last),
			LastError: p.LastError,
			Slots:     failing[p.Name], Release: m.node.Release(p.Name), Version: p.Version, Strange: p.Strange,
		})
	}
	return c
}

// comparePeers adds how the members' WAL compares with this store's.
func comparePeers(c *admin.Cluster, all []ledger.Bytes) {
	if c == nil {
		return
	}
	for i := range c.Peers {
		p := &c.Peers[i]
		at := slices.IndexFunc(all, func(b ledger.Bytes) bool { return b.Node == p.Name })
		if at < 0 || p.Version == 0 {
			continue
		}
		p.Unproven = !all[at].Hashes
		if all[at].Hashes {
			p.Compared, p.Differs = all[at].Equal, all[at].Differs
		}
	}
}

// memberWarnings are about members whose words do not arrive (ruling R39), or are about other WAL (ruling R32).
func memberWarnings(s *admin.Status) (all []string) {
	if s.Cluster == nil {
		return nil
	}
	for _, p := range s.Cluster.Peers {
		since := p.LastHeard
		if since.IsZero() && s.Now.Sub(s.StartedAt) > memberTimeout {
			since = s.StartedAt // others may begin a little later
		}
		if p.Heard.IsZero() && !since.IsZero() && s.Now.Sub(since) >= notHeard {
			text := fmt.Sprintf("not heard: %s, since %s", p.Name, since.UTC().Format(time.TimeOnly))
			if p.LastError != "" {
				text += ": " + p.LastError
			}
			all = append(all, text)
		}
		if p.Differs != lsn.Invalid {
			all = append(all, fmt.Sprintf("member %s has other WAL than this proxy, from somewhere below %s on: two "+
				"servers wrote on one timeline, or one lost WAL that it had; nothing that this member has counts "+
				"here. Find out which server is right, and make the store of the other member anew", p.Name, p.Differs))
		}
		if p.Strange != "" {
			all = append(all, fmt.Sprintf("member %s cannot be understood, so nothing that it says counts: %s",
				p.Name, p.Strange))
		}
	}
	return all
}

// readKeys finds what is wrong with the key file, so that a reload changes everything or nothing.
func readKeys(c *config.Config) error {
	if c.Cluster.Bind == "" {
		return nil
	}
	_, err := gossip.ReadKeys(c.Cluster.KeyFile)
	if err != nil {
		err = UnusableError{fmt.Errorf("unusable configuration\n%w", c.At("cluster.key_file", err))}
	}
	return err
}

// secret is one that all members have; nil without a cluster.
func (m *membership) secret() []byte {
	if m == nil {
		return nil
	}
	return m.keys.First()
}

// rekey takes the keys of the file into use that was named at the start.
func (m *membership) rekey() error {
	if m == nil {
		return nil
	}
	return m.keys.Reload()
}

// memberNames are the names in cluster.members.
func memberNames(c *config.Config) (names []string) {
	for _, line := range c.Cluster.Members {
		if name, _, _ := strings.Cut(strings.TrimSpace(line), " "); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// Identity returns this proxy's line for cluster.members, and makes its key when it has none.
func Identity(c *config.Config) (string, error) {
	if err := prepareDataDir(c); err != nil {
		return "", err
	}
	n, err := identity.Open(clusterDir(c.DataDir), c.Name)
	if err != nil {
		return "", UnusableError{err}
	}
	return n.Line(), nil
}
