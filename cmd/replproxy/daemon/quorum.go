package daemon

import (
	"slices"
	"sync/atomic"

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/proxy/config"
)

// ruleText returns the configured rule, in the same words wherever the same is meant.
func ruleText(c *config.Config) vote.RuleText {
	d := vote.RuleText{Names: c.SynchronousStandbyNames, Spread: c.SynchronousStandbyZones.Rule}
	for _, z := range c.SynchronousStandbyZones.Zones {
		var voters []string
		for _, v := range z.Voters {
			voters = append(voters, vote.Fold(v))
		}
		slices.Sort(voters)
		d.Zones = append(d.Zones, vote.Zone{Name: z.Name, Voters: voters})
	}
	return d
}

// ownStore is this proxy's store as the cluster sees it.
type ownStore struct {
	store   *walstore.Store
	watch   *walstore.Watcher
	streams func() (member string, ok bool)
	begun   atomic.Pointer[cluster.Beginning]
}

func (s *ownStore) Positions() cluster.Positions {
	id, _ := s.store.Identity()
	p := s.store.Positions()
	repair, _ := s.store.Repairing() // after the positions: what is repaired since is received
	history, firstWAL := s.fingerprints(id.System, p)
	return cluster.Positions{
		System: id.System, Timeline: p.Timeline, Received: p.Received, Written: p.Written, Flushed: p.Flushed,
		Oldest: p.Oldest, Complete: p.Complete, SegSize: id.SegSize,
		Owed: repair.To, Bound: repair.Bound, HistoryHash: history, FirstWAL: firstWAL,
	}
}

func (s *ownStore) Streams() (member string, ok bool) { return s.streams() }

func (s *ownStore) Moved() <-chan struct{} { return s.watch.C() }
