package daemon

import (
	"context"
	"fmt"
	"time"

	"github.com/replproxy/replproxy/grammar/syncrep"
)

// dropLook bounds the question to the primary whether it still waits for the proxy whose rule is to be dropped.
const dropLook = 5 * time.Second

// primaryWaits says why the rule must not be dropped: the primary's commits wait for it (ruling R48). nil: there is no
// rule, the primary names no proxy of the cluster, or it cannot be asked.
func (p *parts) primaryWaits(ctx context.Context) error {
	if p.node.Status().Rule == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, dropLook)
	defer cancel()
	s, err := p.upstream.Connect(ctx, map[string]string{"application_name": "replproxy drop-rule"})
	if err != nil {
		return nil
	}
	defer s.Close()
	res, err := s.Query(ctx, "SHOW synchronous_standby_names")
	if err != nil || len(res) != 1 || len(res[0].Rows) != 1 {
		return nil
	}
	c := p.settings.now()
	return waitsFor(string(res[0].Rows[0][0]), append([]string{c.Name}, memberNames(c)...))
}

// waitsFor says that a primary with that synchronous_standby_names waits for one of the proxies.
func waitsFor(setting string, proxies []string) error {
	rule, err := syncrep.Parse(setting)
	if err != nil {
		return nil
	}
	for _, name := range proxies {
		if rule.Priority(name) > 0 {
			return fmt.Errorf("the primary's synchronous_standby_names (%s) still waits for %s: its commits would be "+
				"durable in a proxy's store only; change it first (--force drops the rule all the same)", setting, name)
		}
	}
	return nil
}
