package preflight

import (
	"context"

	"github.com/replproxy/replproxy/handshake/upstream"
)

// Trust remembers whether the upstream lets the proxy's role in as a walsender without a proof (ruling R1). That is
// asked until it is known, and not again, because it takes a walsender for a moment. The zero value has not asked.
type Trust struct{ trusted, tested bool }

// GatherRunning asks for the facts that [Advise] needs while the proxy runs. It uses an SQL connection only, so that no
// walsender of the primary is taken (R25), but for t. ok false: the upstream could not be asked, and that may pass.
func GatherRunning(ctx context.Context, c *upstream.Config, s Setup, t *Trust) (f Facts, ok bool) {
	f = Facts{Settings: map[string]string{}, Gateways: gateways()}
	f.SQL = bySQL(ctx, c, s, &f)
	if ctx.Err() != nil || f.SQL != nil && !upstream.ShutOut(f.SQL) {
		return f, false
	}
	if !t.tested {
		var asked Facts
		probeTrust(ctx, c, &asked)
		t.trusted, t.tested = asked.Trusted, asked.TrustTested
	}
	f.Trusted, f.TrustTested = t.trusted, t.tested
	return f, true
}

// Completed returns f with the setting of [Advise] that the walreceiver saw when it connected, for a role that may not
// log in for SQL.
func (f Facts) Completed(atConnect map[string]string) Facts {
	const name = "synchronous_standby_names"
	if f.SQL != nil {
		f.Settings[name] = atConnect[name]
	}
	return f
}
