package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/admin"
)

// clusterStatus returns the picture of the links; nil without a cluster.
func clusterStatus(x *Cluster) *admin.Cluster {
	if x == nil {
		return nil
	}
	c := &admin.Cluster{
		Peers: []admin.Peer{}, Refused: x.Links.Refused, Garbled: x.Links.Garbled, Clashes: x.Links.Clashes,
		DroppedUnconfirmed: x.Dropped,
	}
	for _, p := range x.Links.Peers {
		c.Peers = append(c.Peers, admin.Peer{
			Name: p.Name, Addr: p.LastAddr, Sending: p.Sending, Heard: utc(p.Heard), LastHeard: utc(p.Last),
			LastError: p.LastError,
			Slots:     x.Unshared[p.Name], Release: x.Releases[p.Name], Version: p.Version, Strange: p.Strange,
		})
	}
	return c
}

// peersOf returns the other members; none without a cluster.
func peersOf(s *admin.Status) []admin.Peer {
	if s.Cluster == nil {
		return nil
	}
	return s.Cluster.Peers
}

// notHeard delays the warning of a member whose connection has ended: it may be restarted.
const notHeard = 5 * time.Second

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

// memberWarnings returns warnings about members whose words do not arrive (ruling R39), or are about other WAL (ruling
// R32).
func memberWarnings(s *admin.Status) (all []string) {
	if s.Cluster == nil {
		return nil
	}
	for _, p := range s.Cluster.Peers {
		since := p.LastHeard
		if since.IsZero() && s.Now.Sub(s.StartedAt) > cluster.MemberTimeout {
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
			all = append(all, fmt.Sprintf("member %s has other WAL than this proxy, from somewhere below %s on: %s",
				p.Name, p.Differs, whyOther(lsn.Point{Timeline: s.Store.Timeline, LSN: p.Differs}, s.GivenUp)))
		}
		if p.Strange != "" {
			all = append(all, fmt.Sprintf("member %s cannot be understood, so nothing that it says counts: %s",
				p.Name, p.Strange))
		}
	}
	return all
}

// whyOther describes the consequences of a member's other WAL, below at, and the remedy. Where WAL of that timeline was
// given up one of the two has not been told, and its store is not to be made anew by hand.
func whyOther(at lsn.Point, givenUp []admin.GivenUp) string {
	for _, l := range givenUp {
		if at.Timeline == l.Timeline && at.LSN > l.From {
			return fmt.Sprintf("WAL of timeline %s was given up, and one of the two still has it: run replproxy "+
				"accept-timeline %s there, and restart that one; nothing that this member has counts here before",
				l.Timeline, l.Timeline)
		}
	}
	return "two servers wrote on one timeline, or one lost WAL that it had; nothing that this member has counts " +
		"here. Find out which server is right, and make the store of the other member anew"
}

// strangersWarnings returns warnings about proxies that another member knows and this one does not.
func strangersWarnings(strangers []cluster.Stranger) (all []string) {
	for _, s := range strangers {
		all = append(all, fmt.Sprintf("cluster.members of %s has %s, and this proxy's has not: nothing is proven "+
			"here, and no new timeline is followed, without its word; restart this proxy with the same list",
			s.KnownBy, s.Name))
	}
	return all
}

// sharedSlotWarnings returns warnings about slots that not all members treat alike.
func sharedSlotWarnings(s *admin.Status) (all []string) {
	for _, slot := range s.Slots {
		if slot.Owner != "" && slot.Reason == "" && len(slot.KeptBy) == 0 {
			all = append(all, fmt.Sprintf("no proxy that is heard keeps the WAL of slot %s: its standby goes on "+
				"only if the primary or an archive has it", slot.Name))
		}
	}
	if s.Cluster == nil {
		return all
	}
	for _, p := range s.Cluster.Peers {
		if !p.Heard.IsZero() && p.Slots != "" && s.Now.Sub(s.StartedAt) > cluster.MemberTimeout {
			text := "slots are not shared with %s, which may be of an older version: %s"
			if unreached(p.Slots) {
				text = "slots are not shared with %s, which is heard and was not reached: %s"
			}
			all = append(all, fmt.Sprintf(text, p.Name, p.Slots))
		}
	}
	return all
}

// unreached reports whether an attempt failed before the member could say anything.
func unreached(why string) bool { return strings.HasPrefix(why, "dial ") }
