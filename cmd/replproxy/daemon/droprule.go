package daemon

import (
	"context"
	"time"

	"github.com/replproxy/replproxy/cluster"
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
	return cluster.Waits(string(res[0].Rows[0][0]), append([]string{c.Name}, memberNames(c)...))
}
