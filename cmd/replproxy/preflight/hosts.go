package preflight

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/replproxy/replproxy/handshake/upstream"
)

// Host is one server of several in upstream.conninfo, as it was found.
type Host struct {
	Endpoint string
	Err      error // why it was not asked
	Standby  bool  // it is in recovery
	System   string
	Timeline string
}

// lookAtHosts asks every server that conninfo names who it is, all at once. It takes a walsender of each for a moment.
// With one server there is nothing to be asked: that one is looked at anyway.
func lookAtHosts(ctx context.Context, c *upstream.Config) (all []Host) {
	if c.Servers() < 2 {
		return nil
	}
	params := map[string]string{"replication": "true", "application_name": applicationName}
	sessions, err := c.ConnectEach(ctx, params, c.ConnectTimeout())
	for _, s := range sessions {
		h := Host{Endpoint: s.Endpoint.String(), Standby: s.Parameters["in_hot_standby"] == "on"}
		res, err := s.Query(ctx, "IDENTIFY_SYSTEM")
		if row := first(res, err); len(row) > 1 {
			h.System, h.Timeline = row[0], row[1]
		} else if h.Err = err; err == nil {
			h.Err = errors.New("it does not say who it is")
		}
		s.Close()
		all = append(all, h)
	}
	var failed *upstream.ConnectError
	if errors.As(err, &failed) {
		for _, a := range failed.Attempts {
			at := a.Endpoint.String()
			if !slices.ContainsFunc(all, func(h Host) bool { return h.Endpoint == at }) {
				all = append(all, Host{Endpoint: at, Err: a.Err})
			}
		}
	}
	return all
}

// timelineOf returns the timeline of the server that the other checks are about; "": it did not say.
func (f Facts) timelineOf() string {
	for _, h := range f.Hosts {
		if h.Endpoint == f.Endpoint {
			return h.Timeline
		}
	}
	return ""
}

// hostChecks judges the servers of upstream.conninfo beside the one that the other checks are about.
func hostChecks(f Facts) (checks []Check) {
	for _, h := range f.Hosts {
		if h.Endpoint == f.Endpoint && f.Replication == nil {
			continue
		}
		c := Check{Name: "upstream host", Level: OK}
		switch {
		case h.Err != nil:
			c.Level, c.Text = Warn, fmt.Sprintf("%s: %s", h.Endpoint, h.Err)
			c.Remedy = "A server that this proxy cannot log in to is not followed when it becomes the primary: check " +
				"that it runs, its pg_hba.conf, and firewalls."
		case f.System != "" && h.System != f.System:
			c.Level = Fail
			c.Text = fmt.Sprintf("%s is another database system (%s) than %s (%s)",
				h.Endpoint, h.System, f.Endpoint, f.System)
			c.Remedy = "Take it out of upstream.conninfo: it is never followed."
		case h.Standby:
			c.Text = fmt.Sprintf("%s is a standby, on timeline %s", h.Endpoint, h.Timeline)
		case f.Replication == nil && !f.Standby:
			c.Level = Warn
			c.Text = fmt.Sprintf("%s is a primary too, on timeline %s", h.Endpoint, h.Timeline)
			c.Remedy = "If it is another server, stop the one that is not the primary: docs/failover.md, Both run."
			if h.Timeline == f.timelineOf() {
				c.Text += ", or another name of " + f.Endpoint
				c.Remedy = "If it is the same server, name it once in upstream.conninfo. " + c.Remedy
			}
		default:
			c.Text = fmt.Sprintf("%s is a primary, on timeline %s", h.Endpoint, h.Timeline)
		}
		checks = append(checks, c)
	}
	return checks
}
