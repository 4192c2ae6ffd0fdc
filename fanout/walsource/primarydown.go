package walsource

import (
	"errors"
	"time"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// PrimaryDown reports whether no primary is there, as far as this receiver can tell (ruling R33). There is then no
// stream from it, and the last attempt got no answer, or one of a server that stops or starts. The end of a stream
// counts as no answer until the next attempt. While WAL comes from a member of the cluster, the connection that looks
// after the primary decides. Any goroutine may ask.
func (r *Supply) PrimaryDown() bool {
	if member, streams := r.rcv.Streams(); member == "" && streams {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.primaryKnown && r.unanswered
}

// DownSince returns the time from which [Supply.PrimaryDown] has been true. Any goroutine may ask.
func (r *Supply) DownSince() (since time.Time, down bool) {
	if !r.PrimaryDown() {
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

// answered reports whether a stream ended by words of the server, other than those of one that ends.
func answered(err error) bool {
	return errors.As(err, new(*pgerror.Error)) && !upstream.Down(err)
}
