package walstore

import (
	"bytes"

	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// spoil returns other bytes, as sent by an upstream that crashed while it wrote the zeros behind an XLOG_SWITCH.
func (m *model) spoil(msg walstoretest.Message) []byte {
	if m.looks.IntN(2) == 0 {
		return msg.Data
	}
	b := bytes.Clone(msg.Data)
	for _, r := range m.g.Records() {
		segEnd := testSeg.Floor(r.End) + lsn.LSN(testSeg)
		if !r.IsSwitch() || testSeg.IsStart(r.End) || segEnd <= msg.At || r.End >= msg.End() {
			continue
		}
		for at := max(r.End, msg.At); at < min(segEnd, msg.End()); at += 1 + lsn.LSN(m.looks.IntN(2000)) {
			b[at-msg.At] = byte(m.looks.Uint32())
		}
	}
	return b
}

// checkHashes compares the store's hashes of WAL in memory with a recomputation: the newest hash, one anywhere in the
// tail, and the end of the last complete record.
func (m *model) checkHashes(p Positions) {
	m.t.Helper()
	if p.Received <= m.g.Start() {
		return
	}
	if want := max(lastRecord(m.g, p.Received), p.Oldest); p.Complete != want {
		m.fatalf("the last record ends at %s, want %s: %+v", p.Complete, want, p)
	}
	low := m.s.tail.low
	if low == p.Received {
		return
	}
	for _, at := range []lsn.LSN{p.Received, low + 1 + lsn.LSN(m.looks.Uint64N(uint64(p.Received-low)))} {
		if got, ok := m.s.HashAt(p.Timeline, at); !ok || got != sumOf(m.g, at) {
			m.fatalf("the hash at %s is %x (%v), want %x", at, got, ok, sumOf(m.g, at))
		}
	}
}

// readHashes does so for WAL that may be on disk only, and for a digest of a segment.
func (m *model) readHashes(p Positions) {
	m.t.Helper()
	if p.Oldest >= p.Received {
		return
	}
	at := p.Oldest + 1 + lsn.LSN(m.looks.Uint64N(uint64(p.Received-p.Oldest)))
	if got, err := m.s.ReadHash(p.Timeline, at); m.may("read a hash", err) && got != sumOf(m.g, at) {
		m.fatalf("the hash at %s is %x, want %x", at, got, sumOf(m.g, at))
	}
	if got, err := m.s.LastComplete(p.Timeline, at); m.may("find a record", err) && got != max(lastRecord(m.g, at), p.Oldest) {
		m.fatalf("the last record before %s ends at %s, want %s", at, got, lastRecord(m.g, at))
	}
	if g, ok := m.s.SegmentOf(at); ok {
		if got, err := m.s.SealedDigest(g); m.may("read a digest", err) && got != sumOf(m.g, g.End) {
			m.fatalf("the digest of %+v is %x, want %x", g, got, sumOf(m.g, g.End))
		}
	}
	for _, d := range m.s.Sealed(p.Oldest) {
		if d.End > p.Received || d.Sum != sumOf(m.g, d.End) {
			m.fatalf("the digest %+v, want %x", d, sumOf(m.g, d.End))
		}
	}
}
