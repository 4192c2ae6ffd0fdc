package link

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/replproxy/replproxy/internal/nudge"
)

// ID names an item of one sender.
type ID struct {
	Kind byte
	Num  uint64
}

const (
	// MaxItems bounds the items that one proxy publishes: its sessions twice over, with a limit of sessions of
	// PostgreSQL's order (max_wal_senders rarely exceeds 100).
	MaxItems = 4096
	// MaxPayload bounds one item: a state with its rule and all its sessions (vote.MaxStateSize).
	MaxPayload = 1 << 20
	// MaxBytes bounds all payloads together, and so a snapshot: a whole state and a report per session.
	MaxBytes = 2 << 20
	// maxTombstones bounds the memory of deleted items; who has missed more gets a snapshot.
	maxTombstones = 256
)

// ErrTooMuch reports an item beyond the bounds. It was not published.
var ErrTooMuch = errors.New("cluster item exceeds its bound")

// Outbox holds the newest state of each item. Methods may be called from any goroutine and do not wait for peers. Make
// it with [NewOutbox].
type Outbox struct {
	mu         sync.Mutex
	version    uint64 // of the newest change
	floor      uint64 // deletions up to here are forgotten
	items      map[ID]*item
	bytes      int         // of all payloads
	tombstones []tombstone // oldest first
	readers    map[nudge.Chan]struct{}
}

type item struct {
	payload []byte
	older   int // bytes of it that links of version 1 get; negative: they do not get it, see PutLonger
	version uint64
}

type tombstone struct {
	id      ID
	older   bool // links of version 1 had it
	version uint64
}

// in returns the payload as links of a message version get it; false: they do not get the item.
func (it *item) in(message int) (payload []byte, has bool) {
	if message > Oldest {
		return it.payload, true
	}
	return it.payload[:max(0, it.older)], it.older >= 0
}

// NewOutbox returns an empty Outbox. It starts nothing.
func NewOutbox() *Outbox {
	// Version 0 is nobody's: it asks for a snapshot.
	return &Outbox{version: 1, items: map[ID]*item{}, readers: map[nudge.Chan]struct{}{}}
}

// Put replaces an item that is the same in all message versions. encode appends the payload to b, under the
// outbox's lock. After an error, encode's or [ErrTooMuch], there is no item: what it was is overwritten, and is not
// true any more.
func (o *Outbox) Put(id ID, encode func(b []byte) ([]byte, error)) error {
	return o.PutLonger(id, func(b []byte) ([]byte, int, error) {
		b, err := encode(b)
		return b, len(b), err
	})
}

// PutLonger replaces an item as Put does, one to which version 2 added something. encode returns as well how many bytes
// of the payload a link of version 1 gets. Negative: it does not get the item, then or later. Any goroutine may call
// it; it waits for no link.
func (o *Outbox) PutLonger(id ID, encode func(b []byte) (payload []byte, older int, err error)) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	it := o.items[id]
	if it == nil {
		if len(o.items) >= MaxItems {
			return fmt.Errorf("%w: %d items", ErrTooMuch, MaxItems)
		}
		it = &item{}
	}
	o.bytes -= len(it.payload)
	payload, older, err := encode(it.payload[:0])
	if err == nil && (len(payload) > MaxPayload || o.bytes+len(payload) > MaxBytes) {
		err = fmt.Errorf("%w: %d bytes beside %d, at most %d and %d together", ErrTooMuch, len(payload), o.bytes,
			MaxPayload, MaxBytes)
	}
	if err != nil {
		it.payload = nil
		if o.items[id] != nil {
			o.remove(id)
		}
		return err
	}
	o.version++
	o.bytes += len(payload)
	it.payload, it.older, it.version = payload, older, o.version
	o.items[id] = it
	o.wake()
	return nil
}

// Delete removes an item; one that is not there is no error.
func (o *Outbox) Delete(id ID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.items[id] != nil {
		o.remove(id)
	}
}

func (o *Outbox) remove(id ID) {
	o.bytes -= len(o.items[id].payload)
	older := o.items[id].older >= 0
	delete(o.items, id)
	o.version++
	o.tombstones = append(o.tombstones, tombstone{id, older, o.version})
	if extra := len(o.tombstones) - maxTombstones; extra > 0 {
		o.floor = o.tombstones[extra-1].version
		o.tombstones = slices.Delete(o.tombstones, 0, extra)
	}
	o.wake()
}

func (o *Outbox) wake() {
	for c := range o.readers {
		c.Wake()
	}
}

// watch gives a channel that gets a token after changes, and the way to end that.
func (o *Outbox) watch() (<-chan struct{}, func()) {
	c := nudge.New()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.readers[c] = struct{}{}
	return c, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.readers, c)
	}
}

// collect appends frames, in a message version, for what changed after version since, and returns the version to ask
// from next. Version 0, and one from before what is remembered, get a snapshot.
func (o *Outbox) collect(b []byte, since uint64, message int) ([]byte, uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	snapshot := since == 0 || since < o.floor
	if snapshot {
		b = appendFrame(b, frameBegin, nil)
		since = 0
	} else {
		for _, g := range o.tombstones {
			if g.version > since && o.items[g.id] == nil && (g.older || message > Oldest) {
				b = appendDelete(b, g.id)
			}
		}
	}
	for id, it := range o.items {
		if payload, has := it.in(message); has && it.version > since {
			b = appendItem(b, id, payload)
		}
	}
	if snapshot {
		b = appendFrame(b, frameEnd, nil)
	}
	return b, o.version
}
