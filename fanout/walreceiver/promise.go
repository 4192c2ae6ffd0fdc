package walreceiver

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// narrowAfter is the time for which reports stand still, short of what was received, before the promise is
// narrowed to them: so rarely that its fsync costs nobody anything.
const narrowAfter = 5 * time.Second

// promise is the highest position that was ever reported under a rule, and a bound of it that survives a crash (ruling
// R3). While reports move, the bound is "all that is stored", so that none of them waits for an fsync of its own. When
// they stand still, or the stream has ended, it is the exact position:
//
//	    report beyond the bound: fsync, then report
//	exact ─────────────────────────────────────────► all that is stored
//	      ◄─────────────────────────────────────────
//	    narrowAfter without a higher report, end of the stream
//
// The bound may be too high, never too low: too low would let acknowledged WAL be left behind, too high asks an
// operator once too often, after a crash alone. Any goroutine may call the methods: at the first WAL of a timeline the
// reader lowers it beside the one that reports.
type promise struct {
	store Store
	high  atomic.Uint64

	mu    sync.Mutex // held while bound is made durable
	bound lsn.LSN    // on disk
	stale bool       // what is on disk may be about a timeline that the store has left
	moved time.Time  // when high was raised last
	named lsn.LSN    // what was reported when the file named WAL by its bytes last
}

func newPromise(s Store) *promise {
	p := &promise{store: s, bound: s.Promised().At}
	p.high.Store(uint64(p.bound))
	return p
}

func (p *promise) highest() lsn.LSN { return lsn.LSN(p.high.Load()) }

// cover makes it durable that positions up to at may have been reported, before they are: after an error they must not
// be. It blocks for the disk once, then nothing is to be written until narrow.
func (p *promise) cover(at lsn.LSN, now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at <= p.highest() && !p.stale {
		return nil
	}
	if at > p.bound || p.stale {
		if err := p.set(walstore.PromisedAll); err != nil {
			return err
		}
		p.named = at
	}
	p.high.Store(max(p.high.Load(), uint64(at)))
	p.moved = now
	return nil
}

// raise raises the promise where that waits for nothing, and reports whether it did; see cover. false: cover it.
func (p *promise) raise(at lsn.LSN, now time.Time) bool {
	if !p.mu.TryLock() {
		return false
	}
	defer p.mu.Unlock()
	if at > p.bound || p.stale {
		return false
	}
	if at > p.highest() {
		p.high.Store(uint64(at))
		p.moved = now
	}
	return true
}

// narrow narrows the bound to the highest reported position, durably. After an error it stays, which is safe.
func (p *promise) narrow() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.narrowLocked()
}

func (p *promise) narrowLocked() error {
	if p.bound == p.highest() {
		return nil
	}
	return p.set(p.highest())
}

// set makes a bound durable, as one of the WAL that is stored now. The caller holds mu.
func (p *promise) set(bound lsn.LSN) error {
	if err := p.store.SetPromised(bound); err != nil {
		return err
	}
	p.bound, p.stale = bound, false
	return nil
}

// rest adapts the promise when reports stand still while the stream goes on. While some received WAL is not reported,
// it narrows the bound. Otherwise it keeps the bound, so that the next report waits for no fsync, and renews the hash
// by which the file names the newest WAL. It waits for an fsync.
func (p *promise) rest(received lsn.LSN) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.highest() < received {
		return p.narrowLocked()
	}
	p.named = p.highest()
	return p.set(p.bound)
}

// renew writes the same bound for the WAL that is stored now: the file names no WAL of an earlier life of the store.
func (p *promise) renew() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bound == lsn.Invalid {
		return nil // nothing was ever promised
	}
	return p.set(p.bound)
}

// narrowAt returns the time to rest; zero: never. received is the end of what a restart would take for
// promised.
func (p *promise) narrowAt(received lsn.LSN) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bound != walstore.PromisedAll || p.highest() >= received && p.highest() == p.named {
		return time.Time{}
	}
	return p.moved.Add(narrowAfter)
}

// lower lowers the promise to fork, durably: the store leaves the rest, or the operator gave it up. A promise below
// fork stays. It is noted as one of the WAL that is stored now, as the store may have changed its timeline. After an
// error it is lowered in memory only, and noted before more is reported.
func (p *promise) lower(fork lsn.LSN) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bound == lsn.Invalid {
		return nil // nothing was ever promised
	}
	p.stale = true
	if p.highest() <= fork {
		return p.set(p.bound)
	}
	p.high.Store(uint64(fork))
	return p.narrowLocked()
}

// outdate has the next report wait until the promise is noted as one of the WAL that is stored then. It is of an
// earlier life of the store.
func (p *promise) outdate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stale = p.bound != lsn.Invalid
}

// end ends a promise that has no end at what is received, which has all that was ever reported. It waits for no disk:
// there the promise is all that is stored, until it is narrowed.
func (p *promise) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.highest() == walstore.PromisedAll {
		p.high.Store(uint64(p.store.Positions().Received))
	}
}
