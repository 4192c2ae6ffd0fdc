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
	// adviseTimeout bounds one round of questions.
	adviseTimeout = 20 * time.Second
)

// advisor warns about the traps of R1 and R27, at start and whenever the primary's settings or the
// standbys behind this proxy change.
type advisor struct {
	upstream *upstream.Config
	setup    func() preflight.Setup // as configured now
	// generation counts how often that was read.
	generation func() int
	hub        *fanout.Hub
	receiver   *walsource.Supply
	log        *slog.Logger

	warnings atomic.Pointer[[]string]

	// Owned by Run.
	asking report.Asking
	trust  preflight.Trust
}

// Warnings returns the warnings that hold now, never nil.
func (a *advisor) Warnings() []string {
	if w := a.warnings.Load(); w != nil {
		return *w
	}
	return []string{}
}

// Run asks the primary when it is due until ctx ends, then returns nil. What cannot be asked is asked again.
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

// look asks the primary when it is due.
func (a *advisor) look(ctx context.Context) {
	now := time.Now()
	st, x := a.receiver.Status(), a.around()
	if !a.asking.Due(now, x) {
		return
	}
	s := a.setup()
	ctx, cancel := context.WithTimeout(ctx, adviseTimeout)
	defer cancel()
	f, ok := preflight.GatherRunning(ctx, a.upstream, s, &a.trust)
	if !ok {
		return // it passes: what was true stays
	}
	f.Disk.Slots = x.Slots
	a.asking.Answered(now, x)
	a.publish(preflight.Advise(s, f.Completed(st.Settings), x.Standbys), report.SQLWarnings(f.SQL))
}

// around returns the present facts on which advice depends.
func (a *advisor) around() report.Around {
	st := a.receiver.Status()
	return report.Around{
		Streaming: st.State == walreceiver.Streaming, Since: st.Since, Generation: a.generation(),
		Standbys: a.attached(), Slots: a.slotNames(),
	}
}

// attached returns the names of the standbys behind this proxy, sorted, each once.
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

// publish makes the warnings that hold now visible and logs each when it appears.
func (a *advisor) publish(all ...[]string) {
	now := append([]string{}, slices.Concat(all...)...)
	for _, w := range now {
		if !slices.Contains(a.Warnings(), w) {
			a.log.Warn("configuration of the primary", "warning", w)
		}
	}
	a.warnings.Store(&now)
}
