//go:build stamps && linux

package stamp

import (
	"bufio"
	"encoding/binary"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// On reports whether the program was built with the tag stamps.
const On = true

// room bounds the stamps between two calls of Take. At 5,000 messages a second, three standbys and 30 stamps a message
// it is enough for 14 seconds.
const room = 1 << 21

// The stamps of this process. Whoever notes one takes the next place, without a lock.
var (
	noting  atomic.Bool
	writers atomic.Int32 // who are within note
	places  atomic.Int64
	records [room]Record
	taking  sync.Mutex
	last    atomic.Int32 // Who
)

func note(r Record) {
	writers.Add(1)
	defer writers.Add(-1)
	if !noting.Load() {
		return
	}
	if n := places.Add(1); n <= room {
		records[n-1] = r
	}
}

// At notes that a step has reached a position.
func At(s Step, at lsn.LSN) { Who{}.At(s, at) }

// Take writes the stamps since the last call, and the number of those that found no room. It is for [ReadAll].
func Take(w io.Writer) error {
	taking.Lock()
	defer taking.Unlock()
	noting.Store(false)
	for writers.Load() > 0 {
		runtime.Gosched()
	}
	n := places.Load()
	out := bufio.NewWriter(w)
	b := binary.BigEndian.AppendUint64(nil, uint64(max(n-room, 0)))
	for i := range min(n, room) {
		if _, err := out.Write(b); err != nil {
			return err
		}
		b = records[i].append(b[:0])
	}
	if _, err := out.Write(b); err != nil {
		return err
	}
	clear(records[:]) // so that no page of it is missing later
	places.Store(0)
	noting.Store(true)
	return out.Flush()
}

// Who tells the sessions of standbys apart.
type Who struct{ number int32 }

// NewWho returns a value for a session that begins, which no other session has. Any goroutine may call it.
func NewWho() Who { return Who{last.Add(1)} }

// At notes that a step has reached a position for a standby.
func (w Who) At(s Step, at lsn.LSN) {
	if noting.Load() {
		note(Record{Step: s, Who: w.number, At: at, Time: time.Now().UnixNano()})
	}
}

// Told notes that the upstream was told a position, and which goroutine did it.
func Told(at lsn.LSN) {
	if !noting.Load() {
		return
	}
	now := time.Now().UnixNano()
	note(Record{Step: Reported, Who: caller(), At: at, Time: now})
}

// caller finds out by its stack which goroutine runs.
func caller() int32 {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		f, more := frames.Next()
		switch {
		case strings.HasSuffix(f.Function, "walsender.(*Sender).replies"):
			return ByReply
		case strings.HasSuffix(f.Function, "walstore.(*Store).stage"):
			return ByStore
		case !more:
			return ByReporter
		}
	}
}
