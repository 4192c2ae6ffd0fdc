package config

import (
	"errors"
	"strings"
)

// The keys of the rule. Members of the cluster, or the disk, can refuse a rule that is valid by itself. Its keys are
// taken or refused together.
const (
	RuleKey  = "synchronous_standby_names"
	ZonesKey = zonesOf + "rule"
	zonesOf  = "synchronous_standby_zones."
)

// ErrRuleInFile refuses to drop a rule that would be back at the next reload.
var ErrRuleInFile = errors.New("synchronous_standby_names is not empty in the configuration: empty it first, " +
	"or the rule would be back at the next reload")

// DropsRule returns why the rule cannot be dropped for good while c is in the file; nil: it can.
func (c *Config) DropsRule() error {
	if c.SynchronousStandbyNames != "" {
		return ErrRuleInFile
	}
	return nil
}

// KeepRule puts the rule of running into c, whose own was refused. Of applied, the changes that c makes, it returns
// those of the rule as refused, and the others as rest.
func (c *Config) KeepRule(running *Config, applied []Change) (rest, refused []Change) {
	c.SynchronousStandbyNames = running.SynchronousStandbyNames
	c.SynchronousStandbyZones = running.SynchronousStandbyZones
	for _, x := range applied {
		if x.Key == RuleKey || strings.HasPrefix(x.Key, zonesOf) {
			refused = append(refused, x)
		} else {
			rest = append(rest, x)
		}
	}
	return rest, refused
}
