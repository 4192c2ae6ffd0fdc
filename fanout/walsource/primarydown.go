package walsource

import (
	"errors"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// PrimaryDown reports whether no primary is there, as far as this receiver can tell (ruling R33). There is then no
// stream from it, and the last attempt got no answer, or one of a server that stops or starts. The end of a stream
// counts as no answer until the next attempt. While WAL comes from a member of the cluster that says that it hears the
// primary, the primary lives, whoever it does not answer here. Any goroutine may ask.
func (r *Supply) PrimaryDown() bool {
	if !r.unreached() {
		return false
	}
	member, streams := r.rcv.Streams()
	return !streams || !r.o.Hears(member)
}

// unreached reports whether this receiver itself has no stream from a primary, and no answer. While WAL comes from a
// member, the connection that looks after the primary decides.
func (r *Supply) unreached() bool {
	if member, streams := r.rcv.Streams(); member == "" && streams {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.primaryKnown && r.unanswered
}

// DownSince returns the time from which this receiver itself has found no primary, whatever a member says. down false:
// it has found one, or has not looked. Any goroutine may ask.
func (r *Supply) DownSince() (since time.Time, down bool) {
	if !r.unreached() {
		return time.Time{}, false
	}
	last := r.rcv.Status().LastMessage
	member, _ := r.rcv.Streams()
	r.mu.Lock()
	defer r.mu.Unlock()
	since = r.unansweredSince
	if member == "" && last.After(since) {
		since = last // the outage before has ended meanwhile
	}
	return since, true
}

// silent notes whether the last attempt to reach the primary went unanswered.
func (r *Supply) silent(yes bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if yes && !r.unanswered {
		r.unansweredSince = time.Now()
	}
	r.unanswered = yes
}

// unanswered reports whether the primary gave no answer to an attempt that ended with err. streamed: WAL came.
//
// A server that is there and refused is one that answers, whatever the others say. So is one whose WAL was refused
// here: it is not down, and roles are asked for there (ruling R33). So is one that ended the stream by its own words,
// unless they are those of a server that stops.
func unanswered(err error, streamed bool) bool {
	switch {
	case errors.As(err, new(errPermanent)), errors.Is(err, walstore.ErrDiverged), errors.Is(err, walstore.ErrGap),
		errors.Is(err, walstore.ErrPage), errors.Is(err, walstore.ErrMessageSize):
		return false
	case upstream.Down(err):
		return true
	}
	return streamed && !errors.As(err, new(*pgerror.Error))
}
