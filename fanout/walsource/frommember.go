package walsource

import (
	"context"
	"sync"
	"time"

	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/deadline"
)

const (
	// lookAgain lies between two searches for the primary: each costs a log-in.
	lookAgain = 2 * time.Second
	// firstLook lies between two looks whether an empty store has got its timeline: that costs nothing.
	firstLook = 20 * time.Millisecond
)

// viaMember logs in at the member of the cluster to stream from; nil: at the primary, as always.
func (r *Supply) viaMember(ctx context.Context) (Conn, error) {
	r.member = ""
	s, err := r.o.Via.Connect(ctx, r.params())
	r.missed = err != nil
	if s != nil {
		r.member = s.Endpoint().String()
	}
	return s, err
}

// lookAfterPrimary does the other work of a stream from the primary, for as long as the stream comes from a member.
// Clients are sent to the primary. This proxy's slot there follows the WAL that the store has flushed, so that a
// takeover finds all WAL that is missing here (ruling R7). stop waits for its end.
func (r *Supply) lookAfterPrimary(ctx context.Context, system lsn.SystemID) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	r.setFinding(true)
	done.Go(func() {
		defer r.setFinding(false)
		said := ""
		complain := func(err error) {
			if err == nil || ctx.Err() != nil {
				return
			}
			if text := lsn.WithoutPositions(pgerror.Describe(err)); text != said {
				said = text
				r.log.Warn("the primary cannot be looked after while WAL comes from a member", "err", text)
			}
		}
		for r.o.Store.Positions().Timeline == 0 && deadline.Sleep(ctx, firstLook) == nil {
			continue // nothing has come yet
		}
		for ; ctx.Err() == nil; _ = deadline.Sleep(ctx, lookAgain) {
			t := r.o.Store.Positions().Timeline
			held, vouched, end := false, false, lsn.Invalid
			err := r.o.Primary.Watch(ctx, system, t, func(e upstream.Endpoint) {
				if !vouched { // as long as Watch goes on it is the same life of the same server
					var err error
					if end, err = r.vouch(ctx, e, system, t); err != nil {
						complain(err)
						r.setFinding(false)
						return
					}
					vouched = true
					r.astray(nil, time.Now())
				}
				r.o.Upstream.SetCurrent(e)
				r.endPromise(t, end)
				complain(r.primarySaid(ctx, e, t, end))
				r.setPrimary(e, true)
				r.setFinding(false)
				if !held {
					var err error
					held, err = r.holdThere(ctx, e)
					complain(err)
				}
			})
			r.setPrimary(upstream.Endpoint{}, false)
			r.setFinding(false)
			if err != nil {
				r.astray(err, time.Now())
			}
			r.silent(upstream.Down(err))
			r.o.Upstream.UnsetCurrent()
			if held {
				r.o.HeldSlot.Release()
			}
			complain(err)
		}
	})
	return func() { cancel(); done.Wait(); r.astray(nil, time.Now()) }
}

// holdThere takes the slot at e into SQL's care. Another session may still hold it: then it is tried again.
func (r *Supply) holdThere(ctx context.Context, e upstream.Endpoint) (bool, error) {
	if r.o.Slot == "" || r.o.HeldSlot == nil {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	restart, err := r.o.HeldSlot.Hold(ctx, e)
	if err != nil {
		return false, err
	}
	r.rcv.Update(func(st *walreceiver.Status) { st.SlotState, st.SlotLSN = walreceiver.SlotFound, restart })
	return true, nil
}

// Finding reports whether the primary is still being looked for while WAL comes from a member. A client that wants to
// go there may wait for the result. Any goroutine may ask.
func (r *Supply) Finding() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.finding
}

func (r *Supply) setFinding(yes bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.finding = yes
}

// setPrimary publishes the primary's address while the stream comes from a member. An earlier silence is over when it
// is known.
func (r *Supply) setPrimary(e upstream.Endpoint, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.primary, r.primaryKnown = e, known
	r.unanswered = r.unanswered && !known
}
