package upstream

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"
)

// redialDelay lies between two tries of a server that does not answer while a client waits: a server
// that restarts is noticed at once by human standards.
const redialDelay = 100 * time.Millisecond

// ErrNoPrimary refuses a client although hosts answer, because the walreceiver is not sure now which of them is the
// primary.
var ErrNoPrimary = errors.New("none of the upstream hosts is known to be the primary now")

// currentPrimary holds the endpoint that the walreceiver found to be the right one. The zero value knows none.
type currentPrimary struct {
	mu      sync.Mutex
	current Endpoint
	said    settings // by which it was found
	known   bool
	sure    bool          // false again from the moment on at which its connection was lost
	changed chan struct{} // closed at the next change; made by who waits
}

func (v *currentPrimary) set(e Endpoint, known, sure bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if known {
		v.current, v.known = e, true
	}
	v.sure = sure
	if v.changed != nil {
		close(v.changed)
		v.changed = nil
	}
}

// forget forgets the current primary, for another list of hosts.
func (v *currentPrimary) forget() {
	v.mu.Lock()
	v.current, v.known = Endpoint{}, false
	v.mu.Unlock()
	v.set(Endpoint{}, false, false)
}

func (v *currentPrimary) get() (e Endpoint, known, sure bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.current, v.known, v.sure
}

// wait gives a channel that is closed at the next change.
func (v *currentPrimary) wait() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.changed == nil {
		v.changed = make(chan struct{})
	}
	return v.changed
}

// SetCurrent publishes the endpoint that the walreceiver found to be the primary. From now on it is tried first, at
// the very address that the walreceiver reached. With several servers clients are connected only to it.
func (c *Config) SetCurrent(e Endpoint) {
	said := c.last.Load().said
	c.current.mu.Lock()
	c.current.said = said
	c.current.mu.Unlock()
	c.current.set(e, true, true)
}

// LeadsElsewhere reports whether with leads elsewhere, or as somebody else, than what the current endpoint was found
// by, or what was read last when none is sure. Other certificates in the same files are no such difference: connections
// that are there outlive them.
func (c *Config) LeadsElsewhere(with *Config) bool {
	said := c.last.Load().said
	c.current.mu.Lock()
	defer c.current.mu.Unlock()
	if c.current.sure {
		said = c.current.said
	}
	return !maps.Equal(said, with.last.Load().said)
}

// UnsetCurrent says that the walreceiver has lost its connection: whether that endpoint is still the
// primary has to be found out anew. It goes on being tried first.
func (c *Config) UnsetCurrent() { c.current.set(Endpoint{}, false, false) }

// Current returns the endpoint that SetCurrent published last; false: none yet, or [Config.UnsetCurrent] came after it.
// Any goroutine may ask.
func (c *Config) Current() (Endpoint, bool) {
	e, known, _ := c.current.get()
	return e, known
}

// DialPrimary connects for a client like [Config.DialRaw], but waits up to wait for a primary. With several servers,
// of which one role is wanted, only the one that the walreceiver is sure of will do. A standby, or an old primary that
// has come back, would take the client just as well.
func (c *Config) DialPrimary(ctx context.Context, wait time.Duration) (*RawConn, error) {
	until := time.Now().Add(wait)
	for {
		changed := c.current.wait() // before looking, so that nothing is missed in between
		rc, err := c.dialSure(ctx)
		left := time.Until(until)
		if err == nil || left <= 0 || ctx.Err() != nil {
			return rc, err
		}
		delay := left
		if !errors.Is(err, ErrNoPrimary) {
			delay = min(left, redialDelay)
		}
		timer := time.NewTimer(delay)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, err
		}
		timer.Stop()
	}
}

// dialSure makes one attempt, at the server that is surely the primary where there are several. [ErrNoPrimary]: none
// surely is. The error of an attempt is a *[ConnectError].
func (c *Config) dialSure(ctx context.Context) (*RawConn, error) {
	r, err := c.read()
	if err != nil {
		return nil, unreadable(err)
	}
	if r.attrs == attrsAny || len(r.byServer()) == 1 {
		return r.dialRaw(ctx)
	}
	e, _, sure := c.current.get()
	if !sure {
		return nil, ErrNoPrimary
	}
	rc, err := r.dial.open(ctx, e, r.timeout)
	if err != nil {
		return nil, &ConnectError{Attempts: []Attempt{{e, err}}}
	}
	return rc, nil
}
