package walsource

import (
	"errors"
	"strings"
	"time"

	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// heals is the time that a stream must go on before the reason for a stop counts as over, unless the stream brings new
// WAL. A stream that fails again does so as soon as it comes to the place.
const heals = 15 * time.Second

// Stop names the reason for which no more WAL comes until somebody acts: to try again does not help.
type Stop struct {
	Why     string
	Since   time.Time
	Foreign bool    // the server is of another system
	Apart   bool    // the server's WAL does not continue the stored one: it is of another system or history
	astray  bool    // WAL comes from a member, and its primary is not to be found
	end     lsn.LSN // what was received then
}

// forGood reports whether err is a refusal of the server that is there, or of its WAL. What has a warning of its own, a
// timeline that lacks acknowledged WAL, is not meant.
func forGood(err error) bool {
	return otherWAL(err) || errors.As(err, new(errPermanent)) && !errors.As(err, new(*LackError)) && !unheard(err)
}

// otherWAL reports whether err says that the server's WAL is not what is stored, or does not follow on it.
func otherWAL(err error) bool {
	for _, e := range []error{walstore.ErrDiverged, walstore.ErrPage, walstore.ErrForeignSystem, walstore.ErrHistory,
		walstore.ErrTimeline} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// unheard reports whether err is the refusal until a member has spoken.
func unheard(err error) bool { return strings.Contains(err.Error(), notBefore) }

// foreign reports whether err says that the server is of another system.
func foreign(err error) bool {
	return errors.Is(err, walstore.ErrForeignSystem) || strings.Contains(err.Error(), systemDiffers)
}

// stop notes why the stream ended, text, if it was for good; it stays noted until a stream goes on.
func (r *Supply) stop(err error, text string, now time.Time) {
	if !forGood(err) {
		return
	}
	end := r.o.Store.Positions().Received
	other := foreign(err)
	r.locked(func() {
		if r.stopped == nil || r.stopped.end != end {
			r.stopped = &Stop{Since: now, end: end}
		}
		r.stopped = &Stop{Why: text, Since: r.stopped.Since, Foreign: other, Apart: other || otherWAL(err), end: end}
	})
}

// refuse notes that an attempt ended because of the WAL of a server that is there.
func (r *Supply) refuse(err error, now time.Time) {
	if r.unfit == nil && !forGood(err) {
		return
	}
	r.locked(func() {
		if r.refusedSince.IsZero() {
			r.refusedSince = now
		}
	})
}

// over reports whether the reason for the stop is gone. It is, once received is beyond the position at which the stream
// stopped, or the stream of st has gone on for longer than heals.
func (s *Stop) over(st *walreceiver.Status, received lsn.LSN, now time.Time) bool {
	return !s.astray && (received > s.end || st.State == walreceiver.Streaming && now.Sub(st.Since) > heals)
}

// astray notes the result of the search for the primary while WAL comes from a member. A server of another system in
// its place is known at once (ruling R43). nil: it was found.
func (r *Supply) astray(err error, now time.Time) {
	r.locked(func() {
		switch was := r.stopped != nil && r.stopped.astray; {
		case err != nil && foreign(err) && !was:
			r.stopped = &Stop{Why: err.Error(), Since: now, Foreign: true, Apart: true, astray: true}
		case err == nil && was:
			r.stopped = nil
		}
	})
}
