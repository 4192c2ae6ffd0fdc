package walstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// The file `oldest` has the position below which retention removed segments. A segment above it that is not there was
// lost. It is fetched again as a damaged one is, and makes no hole below which slots are lost. The file has the shape
// of the mark. Without it, because an older release had the store or it could not be written, a segment counts as lost
// when it has a sidecar: retention removes that first.
const (
	oldestName   = "oldest"
	oldestMagic  = "RPXL"
	oldestLength = 8
)

// noteOldest makes at durable before anything below it is removed. Where that is not possible, no note says less than
// a wrong one.
func (s *Store) noteOldest(at lsn.LSN) error {
	content := twoCopies(oldestMagic, binary.LittleEndian.AppendUint64(nil, uint64(at)))
	err := vfs.WriteFile(s.fs, s.walPath(oldestName), content)
	if err == nil || !errors.Is(noSpace(err), errNoSpace) {
		return err
	}
	if err := s.segs.remove(oldestName); err != nil {
		return err
	}
	return s.fs.SyncDir(s.walDir)
}

func (s *Store) readOldest() (lsn.LSN, bool) {
	raw, err := vfs.ReadFile(s.fs, s.walPath(oldestName), 2*copyStride)
	if err != nil {
		return 0, false
	}
	_, payload, err := newestCopy(raw, oldestMagic, oldestLength)
	if err != nil {
		return 0, false // it only explains
	}
	return lsn.LSN(binary.LittleEndian.Uint64(payload)), true
}

// findLost lists segments that are gone and were not removed by this store: they count as stored and damaged. Below
// the segment of the last byte that was sure only; that one and what follows recovery looks at.
func (s *Store) findLost(h lsn.History, m mark) error {
	first := s.segs.size.Segno(max(m.Sure, 1) - 1)
	from := first
	if at, ok := s.readOldest(); ok {
		from = s.segs.size.Segno(max(at, m.Start))
	}
	lost := func(k segKey) {
		s.segs.add(k)
		s.log.Warn("a stored WAL segment is gone, it is fetched when it is asked for", "segment", s.segs.name(k))
	}
	for segno := from; segno < first; segno++ {
		if !s.has(h, s.segs.size.Start(segno+1)-1) { // where a timeline was left, the file of the one that follows
			lost(segKey{h.TimelineOf(s.segs.size.Start(segno+1) - 1), segno})
		}
	}
	names, err := s.fs.ReadDir(s.walDir)
	if err != nil {
		return fmt.Errorf("read WAL directory: %w", err)
	}
	for _, name := range names {
		t, segno, ok := s.segs.size.ParseFileName(strings.TrimSuffix(name, digestSuffix))
		sidecar := filepath.Ext(name) == digestSuffix && ok
		if sidecar && segno < first && h.Contains(t) && !s.has(h, s.segs.size.Start(segno+1)-1) {
			lost(segKey{t, segno})
		}
	}
	return nil
}

// missing returns the damage of a segment that has no file.
func (x *segments) missing(k segKey) error {
	return &DamagedError{File: x.name(k), LSN: x.size.Start(k.segno), Reason: "it is missing", cause: fs.ErrNotExist}
}
