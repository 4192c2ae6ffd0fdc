package walsource

import (
	"errors"
	"sync"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/wire"
)

// given has the positions that a rule of the test's own lets be reported.
type given struct {
	lsn.Progress
	ruled bool
}

// rule is a Quorum of the test's own.
type rule struct {
	mu      sync.Mutex
	now     given
	changed chan struct{}
}

func newRule(g given) *rule { return &rule{now: g, changed: make(chan struct{}, 1)} }

func (r *rule) Reportable() (lsn.Progress, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now.Progress, r.now.ruled
}

func (r *rule) Changed() <-chan struct{} { return r.changed }

func (r *rule) set(g given) {
	r.mu.Lock()
	r.now = g
	r.mu.Unlock()
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// free withholds nothing.
func free() given { return given{Progress: lsn.Progress{Write: noLimit, Flush: noLimit}} }

// upTo covers write and flush up to at.
func upTo(at lsn.LSN) given { return given{lsn.Progress{Write: at, Flush: at}, true} }

// TestRuleHoldsAfterAPromotion: a standby becomes a primary without a new connection. From then on the
// rule limits the reports, and also when the server does not tell any more.
func TestRuleHoldsAfterAPromotion(t *testing.T) {
	for name, after := range map[string][]byte{
		"off":     ready(row("SHOW", "off")),
		"unknown": ready(fail("ERROR", "42704", "unrecognized configuration parameter")),
	} {
		t.Run(name, func(t *testing.T) {
			w, m := newWalsender(t, map[string][]byte{
				"SHOW in_hot_standby": ready(row("SHOW", "on")),
				"TIMELINE_HISTORY 2":  ready(row("TIMELINE_HISTORY", "00000002.history", "1\t0/1000006\tpromoted\n")),
			}), newMemStore()
			q := newRule(upTo(fakeSeg + 2))
			r := start(t, w, m, func(o *Options) { o.Quorum = q })
			c := <-w.copies
			if _, _, _, ok := r.Following(); ok {
				t.Error("an empty store follows nobody")
			}
			c.send(xlog(fakeSeg, "abcdef"))
			c.awaitFlush(fakeSeg + 6)
			if st := r.Status(); st.Promised != 0 {
				t.Errorf("%+v", st)
			}
			c = w.promote(c, map[string][]byte{"SHOW in_hot_standby": after})
			c.send(xlog(fakeSeg, "abcdefgh"))
			r.await("WAL", func(s Status) bool { return s.Received == fakeSeg+8 })
			q.set(upTo(fakeSeg + 7))
			c.awaitFlush(fakeSeg + 7)
			r.await("the promise", func(s Status) bool { return s.Promised == fakeSeg+7 })
			if _, system, tli, ok := r.Following(); !ok || tli != 2 || system.String() != fakeSystem {
				t.Errorf("follows %s %s %v", system, tli, ok)
			}
			c.Close()
		})
	}
}

// TestRuleHoldsTowardsAProxy: it keeps our session while its own upstream becomes another server, a primary
// even, so what it says of recovery does not last.
func TestRuleHoldsTowardsAProxy(t *testing.T) {
	w, m := newWalsender(t, map[string][]byte{"SHOW in_hot_standby": ready(row("SHOW", "on"))}), newMemStore()
	w.pid = 1<<22 + 1
	r := start(t, w, m, func(o *Options) { o.Quorum = newRule(upTo(fakeSeg + 2)) })
	c := <-w.copies
	c.send(xlog(fakeSeg, "abcdef"))
	c.awaitFlush(fakeSeg + 2)
	r.await("the promise", func(s Status) bool { return s.Promised == fakeSeg+2 })
	c.Close()
}

// TestShutdownReleaseOnTheWire: voters are missing, the primary shuts down and pings without pause. The answer to
// the first ping after the record is its position, counted once, and a promise is an fsync at most.
func TestShutdownReleaseOnTheWire(t *testing.T) {
	w, m, q := newWalsender(t, nil), newMemStore(), newRule(upTo(0x1000000))
	r := start(t, w, m, func(o *Options) { o.Quorum = q })
	c := <-w.copies
	c.send(xlog(0x1000000, "0123456789"))
	r.await("WAL", func(s Status) bool { return s.Received == 0x100000a })
	for i := range lsn.LSN(9) {
		q.set(upTo(0x1000001 + i))
		c.awaitFlush(0x1000001 + i)
	}
	m.locked(func() {
		if m.promises != 1 || m.promised != walstore.PromisedAll {
			t.Errorf("%d fsyncs, promised %s", m.promises, m.promised)
		}
	})
	const storm = 1000
	for range storm {
		c.send(keepalive(0x100000a, true))
	}
	r.await("pings", func(s Status) bool { return s.Pings == storm })
	if s := r.Status(); s.ShutdownReleases != 0 || s.Reports > storm/10 || s.Reported.Flush != 0x1000009 {
		t.Errorf("before the record: %+v", s)
	}
	m.locked(func() { m.checkpoint = 0x1000012 })
	c.send(xlog(0x100000a, "shutdown"), keepalive(0x1000012, true))
	c.awaitFlush(0x1000012)
	s := r.await("count", func(s Status) bool { return s.ShutdownReleases == 1 })
	if s.Promised != 0x1000009 || !s.Ruled {
		t.Errorf("%+v", s)
	}
	c.send(wire.AppendFrame(nil, 'C', []byte("COPY 0\x00")))
	c.Close()
	<-w.copies
	if m.Promised().At != 0x1000009 { // settled
		t.Errorf("promised %s", m.Promised().At)
	}
}

// A promise that can't be saved is not made.
type unwilling struct{ *memStore }

func (unwilling) SetPromised(lsn.LSN) error { return errors.New("no space") }

func TestPromiseIsDurableFirst(t *testing.T) {
	w, m := newWalsender(t, nil), newMemStore()
	r := start(t, w, m, func(o *Options) { o.Quorum, o.Store = newRule(upTo(0x1000005)), unwilling{m} })
	c := <-w.copies
	c.send(xlog(0x1000000, "0123456789"))
	r.await("the stream's end", func(s Status) bool { return s.LastError == "no space" })
	if s := r.Status(); s.Reported != (lsn.Progress{}) || s.Promised != 0 {
		t.Errorf("%+v", s)
	}
	c.Close()
}
