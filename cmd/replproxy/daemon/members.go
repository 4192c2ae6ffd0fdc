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

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/cluster/gossip"
	"github.com/replproxy/replproxy/cluster/identity"
	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/cluster/puller"
	"github.com/replproxy/replproxy/fanout/sharing"
	"github.com/replproxy/replproxy/proxy/config"
	"github.com/replproxy/replproxy/proxy/report"
)

// clusterDir returns the part of data_dir that holds a node's key and what it must not forget.
func clusterDir(dataDir string) string { return filepath.Join(dataDir, "cluster") }

// membership holds the connections of this proxy to the other members, and its own key. Without a cluster it is nil.
type membership struct {
	self    *identity.Node
	members *identity.Members
	keys    *gossip.Keys
	outbox  *link.Outbox

	node     *cluster.Node
	listener *link.Listener
	wal      *link.ProtocolListener // what other members stream WAL over
	gossip   *gossip.Gossip
	link     *link.Link
	puller   *puller.Puller
	slots    *sharing.Sharing
}

// newMembership reads keys and names, and opens nothing on the network. p has those options of the puller that do not
// come from the configuration. An error names the key of the configuration that it is about. nil: there is no
// cluster.bind.
func newMembership(c *config.Config, p puller.Options) (*membership, error) {
	if c.Cluster.Bind == "" {
		return nil, nil
	}
	bad := func(key string, err error) error {
		return UnusableError{fmt.Errorf("unusable configuration\n%w", c.At(key, err))}
	}
	m := &membership{outbox: link.NewOutbox()}
	p.Node, p.Follow, p.Outbox = c.Name, c.Upstream.Pulls(), m.outbox
	p.Heard = func() []link.PeerStatus { return m.link.Status().Peers }
	p.OtherWAL = func(member string) bool { return m.node.OtherWAL(member) }
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

// others returns the names of the other members; a nil m has none.
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

// live returns the other members that gossip has an address of.
func (m *membership) live(own string) (names []string) {
	for _, p := range m.gossip.Live() {
		if p.Name != own {
			names = append(names, p.Name)
		}
	}
	return names
}

// key tells another member from a later one of its name; "" without a cluster, or for one that is not listed.
func (m *membership) key(name string) string {
	if m == nil {
		return ""
	}
	return m.members.Key(name)
}

// open listens and lets node hear and be heard, once the stages that it returns run. The stages end in the reverse
// order. An error is of an address or the configuration.
func (m *membership) open(c *config.Config, node *cluster.Node, log *slog.Logger) ([]stage, error) {
	tcp, udp, err := listenCluster(context.Background(), c.Cluster.Bind)
	if err != nil {
		return nil, err
	}
	m.node = node
	m.listener = link.NewListener(tcp, m.self, m.members, log)
	m.wal = m.listener.Listen(puller.Protocol)
	for _, protocol := range sharing.Protocols() {
		m.listener.Handle(protocol, func(ctx context.Context, member string, conn net.Conn) {
			m.slots.Serve(ctx, member, protocol, conn)
		})
	}
	m.gossip, err = gossip.New(gossip.Options{
		Node: m.self, Members: m.members, Listener: m.listener, Packets: udp, Advertise: c.Cluster.Advertise,
		Join: c.Cluster.Join, Keys: m.keys, Logger: log,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cluster.advertise: %w", err), tcp.Close(), udp.Close())
	}
	m.link = link.New(link.Options{
		Node: m.self, Members: m.members, Listener: m.listener, Directory: m.gossip, Outbox: m.outbox,
		Sink: m.puller.Sink(node.Peers()), Logger: log,
	})
	return []stage{
		{"listener", m.listener.Run}, {"gossip", m.gossip.Run}, {"link", m.link.Run}, {"puller", m.puller.Run},
		{"sharing", m.slots.Run},
	}, nil
}

// readKeys checks the key file, so that a reload changes everything or nothing. nil: it can be used, or there is no
// cluster.
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

// secret returns a secret that all members have; nil without a cluster.
func (m *membership) secret() []byte {
	if m == nil {
		return nil
	}
	return m.keys.First()
}

// rekey takes the keys of the file into use that was named at the start. After an error those before stay in use. A nil
// m has none.
func (m *membership) rekey() error {
	if m == nil {
		return nil
	}
	return m.keys.Reload()
}

// memberNames returns the names in cluster.members.
func memberNames(c *config.Config) (names []string) {
	for _, line := range c.Cluster.Members {
		if name, _, _ := strings.Cut(strings.TrimSpace(line), " "); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// OtherMembers returns the names of the other members of the cluster; none without one.
func OtherMembers(c *config.Config) []string {
	if c.Cluster.Bind == "" {
		return nil
	}
	return slices.DeleteFunc(memberNames(c), func(name string) bool { return name == c.Name })
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

// status returns the connections to the other members; nil without a cluster.
func (m *membership) status() *report.Cluster {
	if m == nil {
		return nil
	}
	c := &report.Cluster{
		Links: m.link.Status(), Unshared: m.slots.Failing(), Releases: map[string]string{}, Dropped: m.slots.Dropped(),
	}
	for _, p := range c.Links.Peers {
		c.Releases[p.Name] = m.node.Release(p.Name)
	}
	return c
}
