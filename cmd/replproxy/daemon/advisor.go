package daemon

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/replproxy/replproxy/cmd/replproxy/preflight"
	"github.com/replproxy/replproxy/fanout"
	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/fanout/walsource"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/proxy/report"
)

const (
	// adviseTick spaces the checks whether the primary is to be asked again. They stay within this process.
	adviseTick = 2 * time.Second
	// adviseInterval bounds the age of the primary's settings. An operator who changes synchronous_standby_names sees
	// the warning while still at it.
	adviseInterval = 30 * time.Second
	// adviseTimeout bounds one round of questions.
	adviseTimeout = 20 * time.Second
)

// advisor warns about the traps of R1 and R27, at start and whenever the primary's settings or the
// standbys behind this proxy change.
type advisor struct {
	upstream *upstream.Config
	setup    func() preflight.Setup // as configured now
	hub      *fanout.Hub
	receiver *walsource.Supply
	log      *slog.Logger

	warnings atomic.Pointer[[]string]
	again    atomic.Bool // the configuration has changed

	// Owned by Run.
	behind          []string  // standbys at the last look
	slots           []string  // slots here, then
	since           time.Time // connection of the walreceiver at the last look
	asked           time.Time
	trusted, tested bool // of R1; asked once, because it takes a walsender
}

// Warnings are the ones that hold now, never nil.
func (a *advisor) Warnings() []string {
	if w := a.warnings.Load(); w != nil {
		return *w
	}
	return []string{}
}

// Run looks until ctx ends.
func (a *advisor) Run(ctx context.Context) error {
	tick := time.NewTicker(adviseTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			a.look(ctx)
		}
	}
}

// look asks the primary when the walreceiver has connected anew, when other standbys are attached than
// at the last look, and once in a while.
func (a *advisor) look(ctx context.Context) {
	st, behind := a.receiver.Status(), a.attached()
	if st.State != walreceiver.Streaming {
		return // not reached: /readyz tells of that, and what was true stays
	}
	slots := a.slotNames()
	same := st.Since.Equal(a.since) && slices.Equal(behind, a.behind) && slices.Equal(slots, a.slots)
	if !a.again.Swap(false) && same && time.Since(a.asked) < adviseInterval {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, adviseTimeout)
	defer cancel()
	f := preflight.GatherSQL(ctx, a.upstream, a.setup())
	if ctx.Err() != nil || f.SQL != nil && !upstream.ShutOut(f.SQL) {
		return // it passes: what was true stays
	}
	if !a.tested {
		a.trusted, a.tested = preflight.Trusted(ctx, a.upstream)
	}
	f.Trusted, f.TrustTested = a.trusted, a.tested
	f.Disk.Slots = slots
	a.since, a.behind, a.slots, a.asked = st.Since, behind, slots, time.Now()
	a.publish(f, st.Settings["synchronous_standby_names"])
}

// attached is the names of the standbys behind this proxy, sorted, each once.
func (a *advisor) attached() []string {
	var names []string
	for _, s := range a.hub.Standbys() {
		names = append(names, s.ApplicationName)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (a *advisor) slotNames() (names []string) {
	for _, s := range a.hub.Slots() {
		names = append(names, s.Name)
	}
	return names
}

// publish makes the warnings that hold now visible and logs each when it appears. atConnect is the
// setting as the walreceiver saw it, for a role that may not log in for SQL.
func (a *advisor) publish(f preflight.Facts, atConnect string) {
	if f.SQL != nil {
		f.Settings["synchronous_standby_names"] = atConnect
	}
	now := preflight.Advise(a.setup(), f, a.behind)
	now = append(now, report.SQLWarnings(f.SQL)...)
	if now == nil {
		now = []string{}
	}
	for _, w := range now {
		if !slices.Contains(a.Warnings(), w) {
			a.log.Warn("configuration of the primary", "warning", w)
		}
	}
	a.warnings.Store(&now)
}
