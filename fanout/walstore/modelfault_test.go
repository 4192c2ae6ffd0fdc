package walstore

import (
	"bytes"
	"errors"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// noRoom is a full disk: what was allocated can be written, nothing new can.
func (m *model) noRoom(op vfs.Op, name string) error {
	ext := filepath.Ext(name)
	if m.full && (op == vfs.OpAllocate || op == vfs.OpWrite && ext == vfs.TempSuffix) {
		return syscall.ENOSPC
	}
	return nil
}

// excused: the disk is full, or what was read has rotted; the story goes on.
func (m *model) excused(err error) bool {
	return m.full && errors.Is(err, syscall.ENOSPC) || m.rots > 0 && errors.Is(err, ErrDamaged)
}

// rot changes a byte of a record at rest, within one segment: which segment's fault it is must be clear
// even when it has no digest yet.
func (m *model) rot() {
	var at []lsn.LSN
	for _, r := range m.g.Records() {
		p := r.LSN + 40
		if r.LSN >= m.told.Oldest && r.End <= m.told.Flushed && p.PageOffset() > 100 && p < r.End-8 &&
			testSeg.Segno(r.LSN) == testSeg.Segno(r.End-1) {
			at = append(at, p)
		}
	}
	if len(at) == 0 {
		return
	}
	p := at[m.rnd.IntN(len(at))]
	h := m.g.History()
	for t := m.newest; t >= h.TimelineOf(p); t-- {
		f, err := m.disk.OpenWrite("/data/wal/" + testSeg.FileName(t, testSeg.Segno(p)))
		if err != nil || !h.Contains(t) {
			continue
		}
		var b [1]byte
		_, _ = f.ReadAt(b[:], testSeg.Offset(p))
		b[0] ^= 1 << m.rnd.IntN(8)
		_, _ = f.WriteAt(b[:], testSeg.Offset(p))
		_ = f.Sync() // a disk that rots does not ask
		m.rots++
		m.note("rot at %s on timeline %s", p, t)
		return
	}
}

// repairs reports whether the store said that WAL up to at was damaged.
func (m *model) repairs(at lsn.LSN) bool {
	r, ok := m.s.Repairing()
	return ok && m.rots > 0 && r.To >= at
}

// heal fetches the segment that err says is damaged, as a backfill does.
func (m *model) heal(err error) bool {
	var damaged *DamagedError
	if m.rots == 0 || m.calls == 0 || !errors.As(err, &damaged) {
		return false
	}
	_, segno, ok := testSeg.ParseFileName(damaged.File)
	if !ok {
		return false
	}
	seg, ok := m.s.SegmentOf(testSeg.Start(segno))
	if !ok {
		return false
	}
	m.note("heal %s", damaged.File)
	return m.may("import", m.s.Import(seg, bytes.NewReader(m.g.Bytes(seg.Start, seg.End))))
}

// mutant is a store or disk that breaks one promise.
type mutant struct {
	name     string
	hook     vfs.Hook       // before each call of the file system
	deafSync bool           // a failed fsync is taken for a good one
	rotten   bool           // bytes rot at each crash
	short    func() bool    // Options.Short
	after    func(m *model) // each step
	before   func(m *model) // each start
}

func (u *mutant) failedSync() error {
	if u.deafSync {
		return vfs.ErrLie
	}
	return syscall.EIO
}

func (m *model) sabotage() {
	if m.mutant.after != nil && m.s.Positions().Timeline != 0 {
		m.mutant.after(m)
	}
}

// lie makes calls of one kind on files that match do nothing.
func lie(op vfs.Op, match func(base string) bool) vfs.Hook {
	return func(o vfs.Op, name string) error {
		if o == op && match(filepath.Base(name)) {
			return vfs.ErrLie
		}
		return nil
	}
}

func isSegmentName(base string) bool { _, _, ok := testSeg.ParseFileName(base); return ok }

// mutants break the invariants of doc.go, by their numbers.
var mutants = []mutant{
	{name: "1 positions are published out of order", after: func(m *model) {
		m.s.mu.Lock()
		m.s.pos.Flushed = m.s.pos.Received
		m.s.mu.Unlock()
	}},
	{name: "3 bytes in memory change", after: func(m *model) {
		m.s.mu.Lock()
		defer m.s.mu.Unlock()
		if at := m.s.pos.Received - 1; m.s.tail.find(at) != nil && at >= m.s.tail.low {
			m.s.tail.piece(at, at+1)[0] ^= 1
		}
	}},
	{name: "10 the running hash is not that of the bytes", after: func(m *model) {
		_, _ = m.s.in.hash.sum.WriteString("x")
	}},
	{name: "10 the last record's end is not followed", after: func(m *model) {
		m.s.mu.Lock()
		m.s.pos.Complete = m.s.pos.Oldest
		m.s.mu.Unlock()
	}},
	{name: "4 fsync of segments lies", hook: lie(vfs.OpSync, isSegmentName)},
	{name: "4 fsync of the mark lies", hook: lie(vfs.OpSync, func(base string) bool { return base == markName })},
	{name: "4 fsync of directories lies", hook: lie(vfs.OpSyncDir, func(string) bool { return true })},
	{name: "4 flushed is published before the mark", after: func(m *model) {
		m.s.mu.Lock()
		m.s.pos.Flushed = max(m.s.pos.Flushed, m.s.synced)
		m.s.mu.Unlock()
	}},
	{name: "4 flushed is published before the sync of the WAL", after: func(m *model) {
		m.s.mu.Lock()
		m.s.pos.Flushed = max(m.s.pos.Flushed, m.s.marked)
		m.s.mu.Unlock()
	}},
	{name: "4 what is owed is served and voted for", before: func(m *model) {
		m.changeMark(func(k *mark) { k.Sum = m.sumOnDisk(k.LSN) })
	}},
	{name: "4 what is owed counts as damage", before: func(m *model) {
		m.changeMark(func(k *mark) { k.Sure = k.LSN })
	}},
	{name: "4 what is owed is forgotten", hook: lie(vfs.OpRename, func(base string) bool { return base == owedName })},
	{name: "5 writes never reach the file", hook: lie(vfs.OpWrite, isSegmentName)},
	{name: "6 a failed fsync is overheard", deafSync: true},
	{name: "7 readers hold nothing", short: func() bool { return true }},
	{name: "segments are not compared with their digests", rotten: true, after: func(m *model) {
		x := m.s.segs
		x.mu.Lock()
		for k := range x.have {
			x.verified[k] = time.Now()
		}
		x.mu.Unlock()
	}},
}

// remembered is a teller that remembers.
type remembered struct{ said string }

func (v *remembered) Helper() {}

func (v *remembered) Failed() bool { return v.said != "" }

// Fatalf ends the story's goroutine.
func (v *remembered) Fatalf(format string, args ...any) {
	v.said, _ = args[2].(string)
	runtime.Goexit()
}

// TestModelCatches: whatever promise a store or a disk breaks, the model notices.
func TestModelCatches(t *testing.T) {
	const enough = 200 // stories
	for _, u := range mutants {
		t.Run(strings.ReplaceAll(u.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(enough) {
				v := &remembered{}
				done := make(chan struct{})
				go func() {
					defer close(done)
					tellSpoiltStory(v, seed, u)
				}()
				if <-done; v.Failed() {
					t.Logf("story %d: %s", seed, v.said)
					return
				}
			}
			t.Errorf("not noticed in %d stories", enough)
		})
	}
}
