package roles

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/upstream"
)

const (
	// tick is the interval at which the cache is saved and roles are asked for again, where that is due.
	tick = time.Second
	// keepTimes is the interval at which times of answers are saved when nothing else has changed: a small part of any
	// cache_max_age.
	keepTimes = time.Minute
	// askAgain is the age of a failure at which its name is asked for anew. Status tells of a failure that is over for
	// no longer than that. A query that stumbles over one name leaves a line in the primary's log so often.
	askAgain = 5 * time.Second
	// retryAfter is the time for which nobody waits for a primary that could not be asked.
	retryAfter = 2 * time.Second
	// maxRound bounds the use of one connection for questions that follow each other. A connection that is always in
	// use keeps the primary from stopping (ruling R38).
	maxRound = time.Second
	// perTick bounds the roles that are asked for again in one go.
	perTick = 16
)

// asker is the connection to the primary. Run owns it.
type asker struct {
	k      *Lookup
	conn   *upstream.Session
	opened time.Time
}

// Run answers questions until ctx ends, and keeps the answers on the disk, also at the end; then it returns nil. What
// fails is logged. Call it once.
func (k *Lookup) Run(ctx context.Context) error {
	a := &asker{k: k}
	defer a.close()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	kept := time.Now()
	for {
		queue := k.queue
		if len(k.first) > 0 {
			queue = nil // roles come before strangers
		}
		select {
		case <-ctx.Done():
			k.stop()
			k.save(true)
			return nil
		case q := <-k.first:
			a.answer(ctx, q)
			a.rest()
		case q := <-queue:
			a.answer(ctx, q)
			a.rest()
		case now := <-ticker.C:
			a.refresh(ctx, now)
			a.rest()
			timesToo := now.Sub(kept) >= keepTimes
			if timesToo {
				kept = now
			}
			k.save(timesToo)
		}
	}
}

// stop answers the questions that are left.
func (k *Lookup) stop() {
	for {
		select {
		case q := <-k.first:
			k.finish(q, errStopped)
		case q := <-k.queue:
			k.finish(q, errStopped)
		default:
			return
		}
	}
}

// refresh asks for roles before they get too old.
func (a *asker) refresh(ctx context.Context, now time.Time) {
	k := a.k
	down := k.o.Down()
	k.mu.Lock()
	names := k.due(now, down)
	k.mu.Unlock()
	for _, name := range names {
		if err := a.learn(ctx, name); err != nil {
			k.mu.Lock()
			k.cache.missed = time.Time{} // they are still missing
			k.mu.Unlock()
			return
		}
	}
}

// due returns the names to ask for now. One is that of the last question, if it failed: nobody else may ask, and what
// was said of the primary then may be over. down: no primary is there. The caller holds mu.
func (k *Lookup) due(now time.Time, down bool) []string {
	if now.Before(k.retryAt) || k.o.Query == "" {
		return nil
	}
	names := k.cache.due(now, perTick)
	if k.lastErr != nil && !down && now.Sub(k.failedAt) >= askAgain && !slices.Contains(names, k.failed) {
		names = append([]string{k.failed}, names...)
	}
	return names
}

func (a *asker) answer(ctx context.Context, q *flight) {
	k := a.k
	k.mu.Lock()
	early, err := time.Now().Before(k.retryAt), k.lastErr
	k.mu.Unlock()
	if !early || err == nil {
		err = a.learn(ctx, q.name)
	}
	k.finish(q, err)
}

func (k *Lookup) finish(q *flight, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	q.err = err
	delete(k.flights, q.name)
	close(q.done)
}

// learn asks the primary for one name; no connection is left if that failed for all names. A connection that
// was there before may be dead without our knowledge: then it is tried once more.
func (a *asker) learn(ctx context.Context, name string) error {
	k := a.k
	reused := a.conn != nil && !a.astray()
	if !reused {
		a.close()
	}
	r, known, err := a.ask(ctx, name)
	if err != nil && reused && a.conn == nil {
		r, known, err = a.ask(ctx, name)
	}
	now := time.Now()
	iterations := ""
	if err == nil {
		iterations = a.conn.Parameters["scram_iterations"]
		a.shareMock(ctx)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.questions++
	if err != nil && ctx.Err() == nil {
		k.failures++
		if k.silent = upstream.Down(err); k.lastErr == nil {
			k.mu.After(func() {
				k.log.Warn("the primary could not be asked for a role: what is known holds only while it is down",
					"err", err)
			})
		}
		k.failed, k.failedAt = name, now
		if k.lastErr = err; a.conn == nil {
			k.retryAt, k.awayAt = now.Add(retryAfter), now
		}
	}
	if err != nil {
		return err
	}
	if k.lastErr != nil {
		k.mu.After(func() { k.log.Info("the primary answers for roles again") })
	}
	k.lastErr, k.lastAsked, k.retryAt, k.awayAt, k.silent = nil, now, time.Time{}, time.Time{}, false
	k.cache.learn(name, r, known, now)
	if n, err := strconv.Atoi(iterations); err == nil && n > 0 && n != k.iterations {
		k.iterations, k.cache.changed = n, true
	}
	return nil
}

// shareMock asks for the proxy's own role, once, before the first answer is used: see [Lookup.shareOwn].
func (a *asker) shareMock(ctx context.Context) {
	k := a.k
	k.mu.Lock()
	final := k.mockFinal
	k.mu.Unlock()
	if final || a.conn == nil {
		return
	}
	if own, known, err := a.ask(ctx, k.o.Upstream.User()); err == nil {
		k.shareOwn(own, known)
	}
}

// astray reports whether the connection leads to another server than the walreceiver's.
func (a *asker) astray() bool {
	now, known := a.k.o.Upstream.Current()
	return known && (now.Host != a.conn.Endpoint.Host || now.Port != a.conn.Endpoint.Port)
}

// heard holds the answer to a question: a Role and its connection, or an error that is about the name.
type heard struct {
	conn   *upstream.Session
	opened time.Time
	role   Role
	known  bool
	err    error
}

// ask asks over the connection that there is, or a new one. When that says nothing for a second another new one is
// asked beside it.
func (a *asker) ask(ctx context.Context, name string) (Role, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	had := heard{conn: a.conn, opened: a.opened}
	a.conn = nil
	got, err := upstream.Beside(ctx, func(ctx context.Context, again bool) (heard, error) {
		if again {
			return a.put(ctx, heard{}, name)
		}
		return a.put(ctx, had, name)
	}, stopping, func(h heard) { _ = h.conn.Close() })
	if err != nil {
		return Role{}, false, err
	}
	a.conn, a.opened = got.conn, got.opened
	return got.role, got.known, got.err
}

// stopping reports whether a primary said that it stops or starts: none of its connections will answer.
func stopping(err error) bool {
	var refusal *pgerror.Error
	return errors.As(err, &refusal) && upstream.Down(err)
}

// put asks over h's connection, or a new one, which is closed when it is of no use any more.
func (a *asker) put(ctx context.Context, h heard, name string) (_ heard, err error) {
	if h.conn == nil {
		if h.conn, err = a.k.o.Upstream.Connect(ctx, params()); err != nil {
			return h, err
		}
		h.opened = time.Now()
	}
	h.role, h.known, err = ask(ctx, h.conn, a.k.o.Query, name)
	if err == nil {
		return h, nil
	}
	// An ERROR is about this name: a client that finds one that the query stumbles over must not make the others wait.
	var refusal *pgerror.Error
	about := errors.Is(err, errAnswer) || errors.As(err, &refusal) && !refusal.IsFatal()
	err = fmt.Errorf("auth.query: %w", err)
	if about {
		h.err = err
		return h, nil
	}
	_ = h.conn.Close()
	return h, err
}

// rest closes the connection unless another question waits: none of ours waits idle at the primary (ruling R38). One
// that is older than maxRound is closed all the same. It does nothing without a connection. Only Run's goroutine calls
// it.
func (a *asker) rest() {
	if a.conn != nil && (len(a.k.first)+len(a.k.queue) == 0 || time.Since(a.opened) >= maxRound) {
		a.close()
	}
}

func (a *asker) close() {
	if a.conn != nil {
		_ = a.conn.Close()
		a.conn = nil
	}
}
