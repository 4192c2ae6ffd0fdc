package walstore

import (
	"github.com/cespare/xxhash/v2"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// owedModel holds the WAL that the store said it owes. It goes on saying so until that is paid.
type owedModel struct {
	to       lsn.Point
	forgiven bool // the disk was full, so that it could not be noted
}

// readMark reads the mark that the next start will find.
func (m *model) readMark() (mark, bool) {
	raw, err := vfs.ReadFile(m.disk, "/data/wal/"+markName, 2*copyStride)
	if err != nil {
		return mark{}, false
	}
	_, k, err := newestMark(raw)
	return k, err == nil
}

// checkOwed holds a start that found the mark k, and ended as p says, to what it says that it owes. Whatever the mark
// reached is there or owed. Only what rotted is damage. What was being flushed is little.
func (m *model) checkOwed(k mark, p Positions) {
	m.t.Helper()
	r, owes := m.s.Repairing()
	said, was := lsn.Point{Timeline: p.Timeline, LSN: r.To}, m.owed
	m.note("owes %s, damage %v", r.To, r.Damage)
	switch {
	case owes && r.Damage != nil && m.rots == 0:
		m.fatalf("what was being flushed is called damage: %v", r.Damage)
	case k.Timeline == p.Timeline && k.LSN > p.Received && r.To < k.LSN:
		m.fatalf("the mark reached %s, the store ends at %s and owes %s", k.LSN, p.Received, r.To)
	case owes && m.rots == 0 && r.To-p.Received > maxAhead:
		m.fatalf("%s is owed at %s: more than was being flushed", r.To, p.Received)
	case was.to.Timeline == p.Timeline && was.to.LSN > p.Flushed && r.To < was.to.LSN && !was.forgiven:
		m.fatalf("%s was owed, and %s is now, at %s", was.to.LSN, r.To, p.Flushed)
	}
	if m.owed = (owedModel{to: said, forgiven: m.full}); !owes {
		m.owed = owedModel{}
	}
}

// changeMark has the next start find another mark.
func (m *model) changeMark(change func(k *mark)) {
	raw, err := vfs.ReadFile(m.disk, "/data/wal/"+markName, 2*copyStride)
	if err != nil {
		return
	}
	seq, k, err := newestMark(raw)
	if err != nil {
		return
	}
	change(&k)
	var one [markCopyBytes]byte
	encodeMark(&one, seq, k)
	f, err := m.disk.OpenWrite("/data/wal/" + markName)
	if err == nil {
		_, _ = f.WriteAt(one[:], int64(seq%2)*copyStride)
		_ = f.Sync()
	}
}

// sumOnDisk hashes the segment file up to at.
func (m *model) sumOnDisk(at lsn.LSN) uint64 {
	k, found := segKey{}, false
	for t := m.newest; t > 0 && !found; t-- {
		k = segKey{t, testSeg.Segno(at - 1)}
		_, err := m.disk.Open("/data/wal/" + testSeg.FileName(k.tli, k.segno))
		found = err == nil && m.g.History().Contains(t)
	}
	b, err := vfs.ReadFile(m.disk, "/data/wal/"+testSeg.FileName(k.tli, k.segno), int64(testSeg))
	if err != nil {
		return 0
	}
	return xxhash.Sum64(b[:at-testSeg.Floor(at-1)])
}

// beside runs the work beside a file's sync by one of the stages: WAL comes, is written, and the other stage syncs.
func (m *model) beside() {
	if len(m.within) != 1 || m.looks.IntN(2) == 0 {
		return
	}
	other := map[string]func() (bool, error){"sync": m.s.markStep, "mark": m.s.syncStep}[m.within[0]]
	if other == nil {
		return
	}
	for range m.looks.IntN(6) {
		if m.calls == 0 || m.s.Err() != nil {
			return
		}
		switch m.looks.IntN(3) {
		case 0:
			if m.live {
				m.receive()
			}
		case 1:
			m.stage("write beside", m.s.writeStep)
		default:
			m.stage("the other sync", other)
		}
		m.publish()
	}
}
