package daemon

import (
	"github.com/replproxy/replproxy/fanout/realslot"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/config"
)

// newRuleGate returns the slot of slots.rule_gate; nil: none is named.
func (p *parts) newRuleGate(c *config.Config) *realslot.RuleGate {
	if c.Slots.RuleGate == "" {
		return nil
	}
	return realslot.NewRuleGate(realslot.RuleGateOptions{
		Upstream: p.upstream, Slot: c.Slots.RuleGate, Name: c.Name, Logger: p.part("slots"),
		Usable: func() bool { return p.receiver.RuleGateUsable() },
		Used:   func() bool { return p.receiver.RuleGated() },
		Covered: func() lsn.LSN {
			reportable, _ := p.node.Reportable()
			return reportable.Flush
		},
		Flushed: func() lsn.LSN { return p.store.Positions().Flushed },
		Pulls:   c.Upstream.Pulls,
		Free:    func() { p.receiver.RuleGateFree() },
	})
}
