package walsource

import (
	"context"
	"errors"
	"time"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/deadline"
)

// Where another member of the cluster can take the stream over, silence is not waited out until wal_receiver_timeout:
//
//	stream ──silentAfter──► a reply is requested ──as long again──► the primary is asked in other connections
//	   ▲                                                                 │ unansweredAfter without a word
//	   └──────────── a byte, or any answer: it is there ◄────────────────┴──► Silence says so
const (
	// silentAfter is the silence of the primary after which it is asked for a reply. On an idle one that is what it
	// costs: a message of a few bytes each way so often.
	silentAfter = 2 * time.Second
	// askPatience bounds the answer in a connection of its own: a log-in over an ocean takes a second.
	askPatience = 3 * time.Second
	// unansweredAfter counts those in a row that must go unanswered: one may have been unlucky.
	unansweredAfter = 2
	// answeredFor is the time for which an answer holds: the primary is there, whatever became of the stream.
	answeredFor = 10 * time.Second
	// silenceLook lies between two looks for silence.
	silenceLook = 250 * time.Millisecond
)

// Silence returns the time in which a stream brought nothing although a reply was requested. 0: the server is not
// silent, or no server is streamed from, or no member could take over. unanswered: the server has not answered other
// connections either. Any goroutine may ask.
func (r *Supply) Silence() (silence time.Duration, unanswered bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.silentSince.IsZero() {
		return 0, false
	}
	return time.Since(r.silentSince), r.mute
}

// setSilence publishes the values that Silence returns.
func (r *Supply) setSilence(since time.Time, mute bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.silentSince, r.mute = since, mute
}

// lookForSilence notices that the server at e, which is streamed from, says nothing any more, until ctx ends.
func (r *Supply) lookForSilence(ctx context.Context, e upstream.Endpoint, heardAt func() time.Time) {
	if !r.o.Shared {
		return
	}
	defer r.setSilence(time.Time{}, false)
	var listened time.Time // until then nobody could have heard anything
	failed, again := 0, time.Time{}
	for deadline.Sleep(ctx, silenceLook) == nil {
		now := time.Now()
		if r.o.Store.Paused() {
			listened = now
		}
		since := heardAt()
		if listened.After(since) {
			since = listened
		}
		if now.Sub(since) < 2*silentAfter {
			failed, again = 0, time.Time{}
			r.setSilence(time.Time{}, false)
			continue
		}
		r.setSilence(since, failed >= unansweredAfter)
		if now.Before(again) {
			continue
		}
		if failed++; r.answers(ctx, e) {
			failed, again = 0, time.Now().Add(answeredFor)
		} else if failed > unansweredAfter {
			again = time.Now().Add(answeredFor)
		}
	}
}

// answers reports whether a server says anything in a connection of its own. An error is an answer (ruling R33).
func (r *Supply) answers(ctx context.Context, e upstream.Endpoint) bool {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	err := r.probe(ctx, e)
	return err == nil || errors.As(err, new(*pgerror.Error))
}

// uneasy returns the silence after which a reply is requested of whom is streamed from; 0: as always.
func (r *Supply) uneasy() time.Duration {
	if r.o.Shared && r.member == "" {
		return silentAfter
	}
	return 0
}
