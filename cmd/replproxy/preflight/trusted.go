package preflight

import (
	"fmt"
	"net/netip"
	"strings"
)

// trusting judges the access rules that say trust (ruling R34), one text for each. gateways are the routers
// of this machine: who comes through one that translates addresses has the gateway's.
func trusting(s Setup, gateways []netip.Addr) (texts []string) {
	for _, rules := range s.Access {
		for _, g := range gateways {
			if n := rules.Trusts(g); n > 0 {
				texts = append(texts, fmt.Sprintf("access rule %d says trust for %s, a gateway of this machine: "+
					"whoever comes through it may have that address", n, g))
			}
		}
		if n := rules.FirstTrust(); n > 0 && s.UnixLeg {
			texts = append(texts, fmt.Sprintf("access rule %d says trust, and the primary is reached over its unix "+
				"socket: where pg_hba.conf says peer there, such a client gets what this proxy's operating system "+
				"user gets", n))
		}
	}
	return texts
}

// trusts reports whether some rule says trust.
func (s Setup) trusts() bool {
	for _, rules := range s.Access {
		if rules.FirstTrust() > 0 {
			return true
		}
	}
	return false
}

// narrower is the remedy for a doubtful trust rule.
const narrower = "Name the addresses of single clients with trust, or let the primary ask for scram-sha-256: " +
	"see docs/access.md"

// trustedClients returns a check of what trusting finds; none where no rule is doubtful.
func trustedClients(s Setup, f Facts) []Check {
	texts := trusting(s, f.Gateways)
	if len(texts) == 0 {
		return nil
	}
	return []Check{{"access trust", Warn, strings.Join(texts, "; "), narrower + "."}}
}
