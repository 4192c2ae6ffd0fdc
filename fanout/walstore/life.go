package walstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// The file `life` names, durably, the life of the machine in which written WAL may have been reported (ruling R42). In
// that life what was written to any file is read again, synced or not. So the copy behind the name, which is never
// synced, says after the end of the process how far was reported.
//
//	 0                                    512               552
//	┌────────────────────────────┬───────┬─────────────────┐
//	│ format, boot and mount     │ zeros │ copy: LSN, tli  │
//	└────────────────────────────┴───────┴─────────────────┘
const (
	lifeName      = "life"
	lifeFormat    = "#replproxy-life/1\n"
	lifeToldAt    = 512
	lifeMagic     = "RPXL"
	lifeLength    = 8 + 4
	lifeFileBytes = lifeToldAt + copyHeaderLen + lifeLength + copyHashLen
)

// lifeContent returns the content of the file in a life, with at as what was reported.
func lifeContent(life string, at lsn.Point) []byte {
	b := make([]byte, lifeFileBytes)
	copy(b[:lifeToldAt], lifeFormat+life+"\n")
	appendLifeTold(b[lifeToldAt:lifeToldAt], at)
	return b
}

func appendLifeTold(b []byte, at lsn.Point) []byte {
	var payload [lifeLength]byte
	p := binary.LittleEndian.AppendUint64(payload[:0], uint64(at.LSN))
	return appendCopy(b, lifeMagic, 1, binary.LittleEndian.AppendUint32(p, uint32(at.Timeline)))
}

// noteLife makes durable in which life of the machine written WAL may be reported from now on. After a failure of the
// store it fails.
func (s *Store) noteLife() error {
	path := filepath.Join(s.dir, lifeName)
	life := s.machineLife()
	if life == "" {
		return nil // a start takes a life that it does not know for another one
	}
	s.lifeMu.Lock()
	defer s.lifeMu.Unlock()
	err := s.Err()
	if err == nil && s.life != nil && s.lifeNoted() {
		return nil
	}
	if err == nil {
		err = s.closeLife()
	}
	if err == nil && !s.lifeNoted() {
		err = vfs.WriteFile(s.fs, path, lifeContent(life, s.told))
		if failed := s.Err(); err == nil && failsDisk(failed) { // who failed it has found no file, or another one
			s.forgetLife()
			err = failed
		}
	}
	if err == nil {
		s.life, err = s.fs.OpenWrite(path)
	}
	if err == nil {
		err = s.tell(s.told) // an earlier process may have told what was given up since: nothing is owed now
	}
	if err != nil {
		return fmt.Errorf("note in which life of the machine WAL is reported: %w", err)
	}
	return nil
}

// closeLife closes the file. The caller holds lifeMu, or nothing runs any more.
func (s *Store) closeLife() error {
	f := s.life
	if s.life = nil; f == nil {
		return nil
	}
	return f.Close()
}

// Reporting notes, for the end of the process alone, that WAL up to at is about to be reported. Call it before. It
// waits for no disk. A connection that is new reports less than the last one did: what was noted then stays. Any
// goroutine may call it.
func (s *Store) Reporting(at lsn.LSN) error {
	pos := s.Positions()
	if at <= pos.Flushed {
		return nil
	}
	s.lifeMu.Lock()
	defer s.lifeMu.Unlock()
	if s.life == nil || s.told.Timeline == pos.Timeline && at <= s.told.LSN {
		return nil
	}
	return s.tell(lsn.Point{Timeline: pos.Timeline, LSN: at})
}

// untell notes that of what was reported nothing beyond end counts: it is the beginning of a record that was given up.
func (s *Store) untell(end lsn.LSN) {
	s.lifeMu.Lock()
	defer s.lifeMu.Unlock()
	if s.life == nil || s.told.LSN <= end {
		return
	}
	if err := s.tell(lsn.Point{Timeline: s.told.Timeline, LSN: end}); err != nil {
		s.log.Warn("after the end of the process more may be owed than was reported", "err", err)
	}
}

// tell writes the copy behind the name. The caller holds lifeMu.
func (s *Store) tell(at lsn.Point) error {
	if _, err := s.life.WriteAt(appendLifeTold(s.lifeTold[:0], at), lifeToldAt); err != nil {
		return fmt.Errorf("note what is reported: %w", err)
	}
	s.told = at
	return nil
}

// machineLife names the life of both directories: the WAL's may be on another volume. "": it is not known.
func (s *Store) machineLife() string {
	dir, wal := s.fs.Life(s.dir), s.fs.Life(s.walDir)
	if dir == "" || wal == "" {
		return ""
	}
	return dir + ", " + wal
}

// lifeNoted reports whether the process that noted its life did so in this one, and no disk has failed it. Then
// everything that was written since is there, unless the disk fails now.
func (s *Store) lifeNoted() bool {
	life := s.machineLife()
	noted, err := vfs.ReadFile(s.fs, filepath.Join(s.dir, lifeName), lifeFileBytes)
	return err == nil && life != "" && bytes.HasPrefix(noted, []byte(lifeFormat+life+"\n"))
}

// reportedInThisLife returns how far a process before has reported. known is false unless it did so in this life.
func (s *Store) reportedInThisLife() (at lsn.Point, known bool) {
	if !s.lifeNoted() {
		return at, false
	}
	noted, err := vfs.ReadFile(s.fs, filepath.Join(s.dir, lifeName), lifeFileBytes)
	if err != nil || len(noted) < lifeFileBytes {
		return at, false
	}
	_, p, err := decodeCopy(noted[lifeToldAt:], lifeMagic, lifeLength)
	if err != nil {
		return at, false
	}
	at.LSN = lsn.LSN(binary.LittleEndian.Uint64(p))
	at.Timeline = lsn.TimelineID(binary.LittleEndian.Uint32(p[8:]))
	return at, true
}

// forgetLife has the next start owe what was reported and not flushed: a disk has failed, and what is in memory of its
// files may be gone. It asks the disk once and takes no for an answer.
func (s *Store) forgetLife() {
	err := s.fs.Remove(filepath.Join(s.dir, lifeName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("cannot note that the disk has failed", "err", err)
	}
}

// failsDisk reports whether err says that bytes which were written may be gone.
func failsDisk(err error) bool {
	return err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, errNoSpace) && !errors.Is(err, vfs.ErrMoved) &&
		!errors.Is(err, vfs.ErrHeld) && !errors.As(err, new(*LockedError))
}

// lacksRecords reports whether a record ended in WAL (end, to] that was written behind the end that a start has found.
// It ends earlier where no checksum covers what comes: at a record that was given up, or that came damaged. Without one
// the WAL up to to is the beginning of a record, on which no commit rests (ruling R36).
func (s *Store) lacksRecords(end, to lsn.LSN) bool {
	f := s.in.framer
	p := &pages{s: s, h: s.History()}
	defer s.segs.closeUnused()
	defer p.close()
	for at := end; at < to; {
		page, err := p.page(at.PageStart())
		if err != nil {
			return true
		}
		stop := min(to, at.PageStart()+lsn.PageSize)
		f.Take(at, page[at.PageOffset():at.PageOffset()+int(stop-at)])
		at = stop
	}
	return f.Complete() > end
}
