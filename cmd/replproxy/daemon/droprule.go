package daemon

import (
	"context"
	"time"
)

// dropLook bounds the question to the primary whether it still waits for the proxy whose rule is to be dropped.
const dropLook = 5 * time.Second

// primaryWaits says why the rule must not be dropped; see [cluster.Node.RuleWaits].
func (p *parts) primaryWaits(ctx context.Context) error {
	ask := func() (string, bool) { return p.primarySetting(ctx, "synchronous_standby_names") }
	return p.node.RuleWaits(ask, append([]string{p.settings.now().Name}, memberNames(p.settings.now())...))
}

// primarySetting asks the primary for a setting; false: it cannot be asked.
func (p *parts) primarySetting(ctx context.Context, name string) (value string, known bool) {
	ctx, cancel := context.WithTimeout(ctx, dropLook)
	defer cancel()
	s, err := p.upstream.Connect(ctx, map[string]string{"application_name": "replproxy drop-rule"})
	if err != nil {
		return "", false
	}
	defer s.Close()
	res, err := s.Query(ctx, "SHOW "+name)
	if err != nil || len(res) != 1 || len(res[0].Rows) != 1 {
		return "", false
	}
	return string(res[0].Rows[0][0]), true
}
