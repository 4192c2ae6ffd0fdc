package walstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
)

func (m *model) stage(name string, step func() (bool, error)) {
	m.note("%s", name)
	m.within = append(m.within, name)
	defer func() { m.within = m.within[:len(m.within)-1] }()
	if _, err := step(); !m.may(name, err) && !errors.Is(err, errNoSpace) {
		_ = m.s.fail(err) // as Run does
	}
}

// publish notes the positions that anybody could have seen, and checks the invariants.
func (m *model) publish() {
	p := m.s.Positions()
	if p.Timeline != 0 && (p.Oldest > p.Flushed || p.Flushed > p.Written || p.Written > p.Received) {
		m.fatalf("positions out of order: %+v", p)
	}
	if p.Complete > p.Received {
		m.fatalf("a record is complete beyond what was received: %+v", p)
	}
	m.s.mu.Lock()
	sure, mark, now := m.s.sure, m.s.marked, m.s.pos
	m.s.mu.Unlock()
	if p.Timeline != 0 && (sure > mark || mark > now.Written || now.Flushed > mark) {
		m.fatalf("sure up to %s, the mark at %s, and %+v", sure, mark, now)
	}
	if p.Timeline == m.told.Timeline && (p.Received < m.told.Received || p.Written < m.told.Written ||
		p.Flushed < m.told.Flushed || p.Oldest < m.told.Oldest) {
		m.fatalf("positions went back: %+v", p)
	}
	m.told = p
	if p.Timeline == m.g.Timeline() {
		m.checkHashes(p)
	}
}

// receive takes one message, first starting the stream when there is none.
func (m *model) receive() {
	if !m.live {
		m.startStream()
		return
	}
	if m.at >= m.g.End() {
		m.g.Fill(m.g.End()+lsn.LSN(m.rnd.IntN(1<<19)), m.rnd)
	}
	p := m.s.Positions()
	if p.Received-p.Written > MinTailSize/2 {
		return // it would wait for the disk
	}
	msgs := m.g.Messages(m.at, m.rnd)
	for _, msg := range msgs[:min(len(msgs), 1+m.rnd.IntN(8))] {
		m.note("receive %s+%d", msg.At, len(msg.Data))
		err := m.s.AppendFrom(context.Background(), msg.At, bytes.NewReader(m.spoil(msg)), len(msg.Data))
		if !m.may("append", err) {
			m.live = false
			return
		}
		m.at = msg.End()
	}
}

func (m *model) startStream() {
	id := Identity{System: m.g.Source.System, SegSize: m.g.Source.SegSize, ServerMajor: m.g.Source.Major}
	if !m.may("adopt", m.s.Adopt(id)) {
		return
	}
	p := m.s.Positions()
	at := m.g.Start()
	if p.Timeline != 0 {
		at = testSeg.Floor(p.Received)
	}
	m.note("start %s", at)
	if m.may("start", m.s.StartStream(m.g.Timeline(), at)) {
		m.live, m.at = true, at
	}
}

// fork promotes somebody: the new timeline leaves the old one below, at or above the received end.
func (m *model) fork() {
	p := m.s.Positions()
	if p.Timeline == 0 {
		return
	}
	m.live = false
	var points []lsn.LSN
	for _, r := range m.g.Records() {
		if !r.IsSwitch() && r.End > p.Oldest && testSeg.Floor(r.End) <= p.Received &&
			r.End+lsn.LSN(testSeg) > p.Received && r.End > m.g.History().Begin() {
			points = append(points, r.End)
		}
	}
	if len(points) == 0 {
		return
	}
	at := points[m.rnd.IntN(len(points))]
	m.newest += 1 + lsn.TimelineID(m.rnd.IntN(3)) // never a number of an earlier try: that is a conflict
	next := m.g.Fork(at, m.newest)
	m.note("fork at %s to %s", at, next.Timeline())
	m.next = next
	m.leaves = nil
	if at < p.Complete {
		m.leaves = []asideWAL{{m.g, at, p.Received}}
	}
	if !m.may("history", m.s.PutHistory(next.Timeline(), next.HistoryFile())) {
		return
	}
	if !m.may("switch", m.s.StartStream(next.Timeline(), testSeg.Floor(min(at, p.Received)))) {
		return
	}
	if got, want := m.s.Positions().Flushed, min(at, p.Received); got != want {
		m.fatalf("the switch ended at %s, want %s", got, want)
	}
	m.g, m.next = next, nil
	m.aside = append(m.aside, m.leaves...)
	m.closeReaders()
}

// checkAside looks for the WAL beyond forks in Dir/diverged.
func (m *model) checkAside() {
	for _, a := range m.aside {
		if at, _, _ := m.s.History().SwitchPoint(a.g.Timeline()); at != a.fork {
			continue // the machine stopped before the switch
		}
		dir := fmt.Sprintf("/data/diverged/%s-%s", a.g.Timeline(), hexParts(a.fork))
		for at := a.fork; at < a.end; {
			stop := min(a.end, testSeg.Floor(at)+lsn.LSN(testSeg))
			name := testSeg.FileName(a.g.Timeline(), testSeg.Segno(at))
			b, err := vfs.ReadFile(m.disk, dir+"/"+name, int64(testSeg))
			if err != nil {
				m.fatalf("WAL beyond the fork at %s: %v", a.fork, err)
			}
			off := testSeg.Offset(at)
			if m.rots == 0 && !bytes.Equal(b[off:off+int64(stop-at)], a.g.Bytes(at, stop)) {
				m.fatalf("WAL beyond the fork at %s is wrong in %s", a.fork, name)
			}
			if _, err := m.disk.Open("/data/wal/" + name); err == nil {
				m.fatalf("%s lies in wal and in %s", name, dir)
			}
			at = stop
		}
	}
}

// read compares a random range.
func (m *model) read() {
	p := m.s.Positions()
	if p.Timeline == 0 || p.Oldest == p.Received {
		return
	}
	from := p.Oldest + lsn.LSN(m.rnd.Uint64N(uint64(p.Received-p.Oldest)))
	m.note("read %s", from)
	m.compare(from, min(p.Received, from+300_000))
	m.readHashes(p)
}

func (m *model) compare(from, to lsn.LSN) {
	b := make([]byte, to-from)
	err := m.s.readStored(from, b)
	for errors.Is(err, ErrDamaged) && m.heal(err) {
		err = m.s.readStored(from, b)
	}
	if m.may("read", err) && !bytes.Equal(b, m.g.Bytes(from, to)) {
		m.fatalf("wrong bytes at %s", from+firstDifference(b, m.g.Bytes(from, to)))
	}
}

// holdReader opens a reader that holds WAL, or moves or closes one.
func (m *model) holdReader() {
	p := m.s.Positions()
	if p.Timeline == 0 {
		return
	}
	if len(m.reads) < 3 {
		r, err := m.s.NewReader(p.Timeline, p.Oldest+lsn.LSN(m.rnd.Uint64N(uint64(p.Received-p.Oldest)+1)))
		var removed *RemovedError // of a timeline whose file before the switch is the older one's
		if errors.As(err, &removed) && r == nil {
			return
		}
		m.may("reader", err)
		m.reads = append(m.reads, r)
		return
	}
	i := m.rnd.IntN(len(m.reads))
	r := m.reads[i]
	c, err := r.Next(p.Received, 200_000)
	if !m.may("next", err) || c.Len() == 0 {
		r.Close()
		m.reads = append(m.reads[:i], m.reads[i+1:]...)
		return
	}
	b, err := c.Bytes(make([]byte, c.Len()))
	if m.may("chunk", err) && !bytes.Equal(b, m.g.Bytes(c.Start, c.End)) {
		m.fatalf("wrong bytes in a reader's chunk at %s", c.Start)
	}
}

func (m *model) closeReaders() {
	for _, r := range m.reads {
		r.Close()
	}
	m.reads = nil
}
