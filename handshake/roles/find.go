package roles

import (
	"context"
	"time"
	"unicode/utf8"

	"github.com/replproxy/replproxy/internal/deadline"
)

const (
	// maxQueue bounds the questions that wait, of roles and of names of which nothing is known: a log-in beyond it is
	// refused.
	maxQueue = 256
	// askWait bounds a log-in's wait for an answer, staleWait the wait while no primary is there.
	askWait   = 10 * time.Second
	staleWait = 2 * time.Second
	// downAgain is the interval at which a log-in asks whether the walreceiver has found that no primary is there.
	downAgain = 50 * time.Millisecond
)

// Find returns the role of name: of auth.users_file, of the cache, or of the primary, which is asked then. It blocks
// for the answer: 10 seconds at most, 2 while no primary is there. Where that is not found out yet, 2 more are waited.
// An answer that is known takes 2 to 100 ms all the same, as long as a question: its time tells nothing of the name.
// Only after a failed question it comes at once. The end of ctx ends each wait. Any goroutine may call it.
func (k *Lookup) Find(ctx context.Context, name string) Found {
	r, filed := k.users.find(name)
	if k.o.Query == "" {
		return Found{Role: r, Known: filed, Certain: true}
	}
	k.mu.Lock()
	now := time.Now()
	early, away := now.Before(k.retryAt), !k.awayAt.IsZero() && now.Sub(k.awayAt) < max(retryAfter, k.cache.ttl)
	f, fresh, usable := k.cache.look(name, now)
	if filed {
		f, fresh, usable = Found{Role: r, Known: true}, true, true
	}
	until := now.Add(rung(k.hold))
	if fresh || !utf8.ValidString(name) {
		k.mu.Unlock()
		if !early {
			holdUntil(ctx, until)
		}
		return fallback(f, !away, usable || fresh)
	}
	if early {
		k.mu.Unlock()
		return k.unasked(ctx, f, usable)
	}
	q, asked := k.askLocked(name, usable)
	k.mu.Unlock()
	if !asked || !k.answered(ctx, q) {
		return k.unasked(ctx, f, usable)
	}
	k.mu.Lock()
	f, _, _ = k.cache.look(name, time.Now())
	k.hold = holdFor(k.hold, time.Since(now)) // the whole way, not the question alone
	k.mu.Unlock()
	f.Certain, f.Asked = true, true
	holdUntil(ctx, until)
	return f
}

// answered waits for a question: askWait, or staleWait where the walreceiver says that no primary is there. false:
// there is no answer in that time or before the end of ctx, or the question has failed.
func (k *Lookup) answered(ctx context.Context, q *flight) bool {
	timer := time.NewTimer(staleWait)
	defer timer.Stop()
	for first := true; ; first = false {
		select {
		case <-q.done:
			return q.err == nil
		case <-ctx.Done():
			return false
		case <-timer.C:
			if k.o.Down() {
				k.mu.Lock()
				k.silent = true // nothing came, for as long as that
				k.mu.Unlock()
				return false
			}
			if !first {
				return false
			}
			timer.Reset(askWait - staleWait)
		}
	}
}

// unasked returns f as it may be used without an answer of the primary: only while the primary is down or its word is
// void (ruling R33). One that is there and busy, or refuses, is no reason to believe what it said before. Where only
// the walreceiver has not found out yet that it is down, that is waited for, staleWait at most.
func (k *Lookup) unasked(ctx context.Context, f Found, usable bool) Found {
	timeout := time.NewTimer(staleWait)
	defer timeout.Stop()
	again := time.NewTicker(downAgain)
	defer again.Stop()
	for {
		k.mu.Lock()
		silent := k.silent
		k.mu.Unlock()
		if k.o.Fenced() || silent && k.o.Down() {
			return fallback(f, false, usable)
		}
		if !silent {
			return Found{FromPrimary: true}
		}
		select {
		case <-again.C:
		case <-timeout.C:
			return Found{FromPrimary: true}
		case <-ctx.Done():
			return Found{FromPrimary: true}
		}
	}
}

// holdUntil delays an answer that is known already until then, or until ctx ends: the time shall not tell which names
// are roles that logged in lately. The last of it is a wait of its own: how late a timer fires depends on how long its
// processor had nothing to do. Otherwise that would tell which name was asked for.
func holdUntil(ctx context.Context, then time.Time) {
	_ = deadline.Sleep(ctx, time.Until(then.Add(-minHold)))
	_ = deadline.Sleep(ctx, time.Until(then))
}

// fallback returns f as it may be used when the primary was not asked. certain: f is right without it, as of a users
// file. usable: it is not too old. Where it is neither, nothing is known.
func fallback(f Found, certain, usable bool) Found {
	if !usable && !certain {
		return Found{FromPrimary: true}
	}
	f.Certain = certain
	return f
}

// askLocked joins the question for name, or asks it. Questions about known names go before those about strangers, so
// that a crowd of invented names holds up no role. false: too many questions wait. k.mu is held.
func (k *Lookup) askLocked(name string, known bool) (*flight, bool) {
	if q := k.flights[name]; q != nil {
		return q, true
	}
	q := &flight{name: name, done: make(chan struct{})}
	queue := k.queue
	if known {
		queue = k.first
	}
	select {
	case queue <- q:
		k.flights[name] = q
		return q, true
	default:
		return nil, false
	}
}
