package walstore

import (
	"encoding/binary"
	"fmt"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// debt remembers over restarts that WAL of Timeline up to To was here and is not. It is there until all of that came
// again.
type debt struct {
	Timeline lsn.TimelineID
	To       lsn.LSN
	// Durable is the position up to which WAL was durable, and part of it is damaged, first found at Damaged. What is
	// missing beyond was being flushed, for all that is known. Both are Invalid where nothing was found damaged.
	Durable, Damaged lsn.LSN
	// Print names a record's end at or below To by its bytes. Zero: nothing is known.
	Print lsn.Print
}

// with returns the debt after a start that found the mark m, and WAL up to end only. damaged nil: what is missing was
// being flushed. A debt that was paid up to end, or is of another timeline, is over. Of one that is not all stays: that
// WAL was durable is not forgotten because other WAL is owed as well.
func (d debt) with(m mark, end lsn.LSN, damaged *DamagedError) debt {
	if d.Timeline != m.Timeline || d.To <= end {
		d = debt{Timeline: m.Timeline}
	}
	if d.Durable <= end {
		d.Durable, d.Damaged = lsn.Invalid, lsn.Invalid
	}
	d.To = max(d.To, m.LSN)
	if damaged != nil {
		if d.Damaged == lsn.Invalid {
			d.Damaged = damaged.LSN
		}
		d.Durable = max(d.Durable, m.LSN)
	}
	if m.Print.LSN > d.Print.LSN {
		d.Print = m.Print
	}
	return d
}

// The file has the shape of the mark. In version 1, all that v0.1.0 knows, LSN is To and Start is Damaged. Version 2
// has Durable, version 3 Print. Without version 2 Durable is To where there is damage.
const (
	owedName    = "owed"
	owedMagic   = "RPXO"
	owedVersion = 2
	owedMoreAt  = 64
	owedMore    = 8
)

// file returns the content of the file: both copies hold d.
func (d debt) file() []byte {
	b := make([]byte, 2*copyStride)
	first := mark{Timeline: d.Timeline, LSN: d.To, Start: d.Damaged}.append(nil)
	for i := range uint64(2) {
		one, seq := b[i*copyStride:], i+1
		appendCopy(one[:0], owedMagic, seq, first)
		more := binary.LittleEndian.AppendUint64(nil, uint64(d.Durable))
		appendVersion(one[owedMoreAt:owedMoreAt], owedMagic, owedVersion, seq, more)
		appendPrint(one[:printAt], owedMagic, seq, d.Print)
	}
	return b
}

// decodeDebt decodes the content of the file; false: there is no debt in it.
func decodeDebt(file []byte) (d debt, ok bool) {
	newest := uint64(0)
	for off := 0; off < len(file); off += copyStride {
		one := file[off:]
		seq, payload, err := decodeCopy(one, owedMagic, markLength)
		if err != nil || seq <= newest {
			continue
		}
		m := decodeMark(payload)
		d, newest, ok = debt{Timeline: m.Timeline, To: m.LSN, Damaged: m.Start}, seq, true
		if d.Damaged != lsn.Invalid {
			d.Durable = d.To
		}
		if len(one) < printAt {
			continue
		}
		again, more, err := decodeVersion(one[owedMoreAt:], owedMagic, owedVersion, owedMore)
		if err == nil && again == seq {
			d.Durable = lsn.LSN(binary.LittleEndian.Uint64(more))
		}
		d.Print = decodePrint(one, owedMagic, seq)
	}
	return d, ok
}

// readOwed reads the debt of an earlier start; zero: there is none. A file that can't be read counts as none: what is
// claimed depends on the mark alone.
func (s *Store) readOwed() debt {
	raw, err := vfs.ReadFile(s.fs, s.walPath(owedName), 2*copyStride)
	if err != nil {
		return debt{}
	}
	d, _ := decodeDebt(raw)
	return d
}

// tookOther reports whether the store, which ends at end, has other WAL than what p names. Where it could not be held
// back it came up to the named record or beyond. Then the debt is not paid.
func (s *Store) tookOther(p lsn.Print, end lsn.LSN) bool {
	if p.LSN == lsn.Invalid || p.Timeline != s.Positions().Timeline || p.LSN > end {
		return false
	}
	sum, err := s.ReadHash(p.Timeline, p.LSN)
	if err != nil || sum == p.Sum {
		return false // of what can't be read its readers will know
	}
	s.log.Error("the WAL that came in the place of what is owed is other WAL: it is received again", "lsn", p.LSN)
	return true
}

// owe notes durably, before the mark m is lowered to end, that WAL up to it may have been there, and returns the debt.
// On a full disk the debt is right, and noteDebt has to be called again before a lower mark is written.
func (s *Store) owe(m mark, end lsn.LSN, damaged *DamagedError) debt {
	was := s.readOwed()
	if s.cameDamaged(m.Print, damaged) {
		m.Print = lsn.Print{} // no server has those bytes
	}
	d := was.with(m, end, damaged)
	if d == was {
		return d
	}
	s.stages.unnoted = &d
	if err := s.noteDebt(); err != nil {
		s.log.Error("cannot note for the next start that WAL is owed", "err", err, "to_lsn", d.To)
	}
	return d
}

// cameDamaged reports whether the bytes that p names, the damaged ones among them, are those that are stored. Then no
// disk has changed them: the WAL was damaged when it came.
func (s *Store) cameDamaged(p lsn.Print, damaged *DamagedError) bool {
	x := s.segs
	if damaged == nil || p.LSN <= damaged.LSN || x.size.Segno(p.LSN-1) != x.size.Segno(damaged.LSN) {
		return false
	}
	begin := x.size.Floor(p.LSN - 1)
	stored, err := s.fs.Open(x.path(x.size.FileName(p.Timeline, x.size.Segno(begin))))
	if err != nil {
		return false
	}
	defer stored.Close()
	id, _ := s.Identity()
	h, buf := NewSentHash(id, begin), make([]byte, hashBuffer)
	for at := begin; at < p.LSN; {
		part := buf[:min(lsn.LSN(len(buf)), p.LSN-at)]
		if _, err := stored.ReadAt(part, x.size.Offset(at)); err != nil {
			return false
		}
		h.Add(part)
		at += lsn.LSN(len(part))
	}
	return h.Sum() == p.Sum
}

// noteDebt writes the debt that could not be noted yet, if there is one. Until then the mark stays where it is, so that
// the next start finds the same. stages.markMu is held, or nothing runs yet.
func (s *Store) noteDebt() error {
	d := s.stages.unnoted
	if d == nil {
		return nil
	}
	if err := vfs.WriteFile(s.fs, s.walPath(owedName), d.file()); err != nil {
		return noSpace(fmt.Errorf("note that WAL is owed: %w", err))
	}
	s.stages.unnoted = nil
	return nil
}
