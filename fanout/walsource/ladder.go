package walsource

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/replproxy/replproxy/fanout/backfill"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Rung names a kind of place that WAL comes from.
type Rung string

// The rungs of the ladder. A member costs the primary nothing, and an archive may be slow.
const (
	RungFenced  Rung = "fenced member" // the one with most of the tail of a fenced timeline
	RungChosen  Rung = "chosen member" // the one that upstream.via: cluster chose
	RungMember  Rung = "any member"    // whichever has the same WAL
	RungPrimary Rung = "primary"       // of upstream.conninfo
	RungArchive Rung = "archive"       // wal.restore_command
)

// rungs returns the rungs in the order in which they are asked.
func rungs() []Rung { return []Rung{RungFenced, RungChosen, RungMember, RungPrimary, RungArchive} }

// Source is one place that WAL can come from: as a stream that goes on, as whole segments, or both.
type Source interface {
	// Rung names the place. It is the same for the life of the Source.
	Rung() Rung
	// Stream opens a stream. nil without an error: there is none to be had, and the next source is asked. It may block
	// until that is known, or ctx ends.
	Stream(ctx context.Context, params map[string]string) (Conn, error)
	// Segments returns the giver of whole segments; nil: there is none now. With ahead they are to continue the store,
	// otherwise they are older than it, or damaged in it. Both may be asked at the same time.
	Segments(ahead bool) backfill.Source
}

// SourceStatus tells of one source since the start.
type SourceStatus struct {
	Rung      Rung
	Streams   bool   // it was the last to open a stream
	Opened    uint64 // streams
	Fetched   uint64 // bytes of segments
	LastError string // of the last stream or fetch; "": that went well
}

// Ladder asks sources one after another. It is a [Via]: where no member gives a stream, the primary does. Any goroutine
// may call its methods.
type Ladder struct {
	sources []Source

	mu  sync.Mutex
	all []SourceStatus // of each of sources
}

// NewLadder returns a ladder of sources, which it asks in the order of their rungs.
func NewLadder(sources ...Source) *Ladder {
	order := rungs()
	l := &Ladder{sources: slices.SortedStableFunc(slices.Values(sources), func(a, b Source) int {
		return slices.Index(order, a.Rung()) - slices.Index(order, b.Rung())
	})}
	for _, s := range l.sources {
		l.all = append(l.all, SourceStatus{Rung: s.Rung()})
	}
	return l
}

// Connect opens a stream from the first source that has one. nil without an error: none has, and the primary is to be
// found among its hosts.
func (l *Ladder) Connect(ctx context.Context, params map[string]string) (Conn, error) {
	for i, s := range l.sources {
		c, err := s.Stream(ctx, params)
		if err != nil {
			l.note(i, func(st *SourceStatus) { st.LastError = err.Error() })
			return nil, err
		}
		if c != nil {
			l.streams(i)
			return c, nil
		}
		if s.Rung() == RungPrimary {
			l.streams(i)
			break
		}
	}
	return nil, nil
}

// streams notes that the source with number n opens the stream.
func (l *Ladder) streams(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.all {
		l.all[i].Streams = i == n
	}
	l.all[n].Opened++
	l.all[n].LastError = ""
}

func (l *Ladder) note(n int, f func(*SourceStatus)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(&l.all[n])
}

// Segments returns the givers of WAL that is older than the store, in their order.
func (l *Ladder) Segments() []backfill.Source { return l.segments(false) }

func (l *Ladder) segments(ahead bool) (all []backfill.Source) {
	for i, s := range l.sources {
		if from := s.Segments(ahead); from != nil {
			all = append(all, &counted{Source: from, l: l, n: i})
		}
	}
	return all
}

// Restore continues store with whole segments up to until at most, where a stream can't. It returns how many came, and
// why no more did.
func (l *Ladder) Restore(ctx context.Context, store *walstore.Store, until lsn.LSN) (segments int, err error) {
	for _, from := range l.segments(true) {
		var n int
		n, err = backfill.Forward(ctx, store, from, until)
		segments += n
		if err == nil {
			break
		}
	}
	return segments, err
}

// Status returns the sources in their order.
func (l *Ladder) Status() []SourceStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]SourceStatus(nil), l.all...)
}

// counted counts the bytes that a source of segments brings, and notes its last error.
type counted struct {
	backfill.Source
	l *Ladder
	n int
}

func (c *counted) Open(ctx context.Context, id walstore.Identity, r backfill.Run) (io.ReadCloser, error) {
	wal, err := c.Source.Open(ctx, id, r)
	if err != nil {
		c.l.note(c.n, func(st *SourceStatus) { st.LastError = err.Error() })
		return nil, err
	}
	c.l.note(c.n, func(st *SourceStatus) { st.LastError = "" })
	return &countedWAL{ReadCloser: wal, c: c}, nil
}

type countedWAL struct {
	io.ReadCloser
	c *counted
}

func (w *countedWAL) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	w.c.l.note(w.c.n, func(st *SourceStatus) {
		st.Fetched += uint64(n)
		if err != nil && !errors.Is(err, io.EOF) {
			st.LastError = err.Error()
		}
	})
	return n, err
}
