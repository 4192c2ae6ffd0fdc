package daemon

import (
	"context"
	"log/slog"
	"time"

	"github.com/replproxy/replproxy/proxy/admin"
	"github.com/replproxy/replproxy/proxy/report/events"
	"github.com/replproxy/replproxy/proxy/report/verdict"
)

// judge looks at the verdict each [verdict.Interval] until ctx ends: it carries its past on, logs each change, and
// notes what has happened. It returns nil.
func (v *view) judge(ctx context.Context) error {
	var announcer verdict.Announcer
	var before *admin.Status
	tick := time.NewTicker(verdict.Interval)
	defer tick.Stop()
	for {
		s := v.Status()
		past := v.past.Load().Next(&s)
		v.past.Store(&past)
		happened := events.Add(*v.events.Load(), before, &s)
		v.events.Store(&happened)
		before = &s
		if announcer.Due(s.Now, s.Verdict) {
			sayVerdict(v.log, s.Verdict)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// sayVerdict logs a verdict that is another one than before.
func sayVerdict(log *slog.Logger, v admin.Verdict) {
	if v.State == admin.VerdictOK {
		log.Info("the verdict on this proxy has changed", "state", v.State, "verdict", v.Text)
		return
	}
	log.Warn("the verdict on this proxy has changed", "state", v.State, "verdict", v.Text, "runbook", v.Runbook)
}
