package walstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"sync"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// PromisedAll as a promise says: anything that is in the store may have been reported.
const PromisedAll = lsn.LSN(math.MaxUint64)

// The file `promised` has the shape of the mark. It exists once something was reported under a rule.
const (
	promisedName   = "promised"
	promisedMagic  = "RPXP"
	promisedLength = 8
)

// promised is the durable bound of what was reported under a rule (ruling R3).
type promised struct {
	mu  sync.Mutex
	at  lsn.LSN
	seq uint64
}

// Promised is the bound that [Store.SetPromised] made durable last: no position beyond it was ever
// reported under a rule. After a start that finds [PromisedAll] it is the end of what was recovered.
func (s *Store) Promised() lsn.LSN {
	s.promised.mu.Lock()
	defer s.promised.mu.Unlock()
	return s.promised.at
}

// SetPromised makes the bound durable, by one fsync. Raise it before more is reported, lower it only to
// what has been. Any goroutine may call it.
func (s *Store) SetPromised(to lsn.LSN) error {
	p := &s.promised
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seq != 0 && p.at == to {
		return nil
	}
	path := filepath.Join(s.dir, promisedName)
	payload := binary.LittleEndian.AppendUint64(nil, uint64(to))
	f, err := s.fs.OpenWrite(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err = vfs.WriteFile(s.fs, path, slotFileContent(promisedMagic, payload)); err == nil {
			p.at, p.seq = to, 2
			return nil
		}
	case err == nil:
		p.seq++
		_, err = f.WriteAt(appendSlot(nil, promisedMagic, p.seq, payload), int64(p.seq%2)*slotStride)
		if err == nil {
			err = f.Sync()
		}
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("save what was promised: %w", err)
	}
	p.at = to
	return nil
}

// readPromised reads the bound, and makes PromisedAll the end of what was recovered.
func (s *Store) readPromised() error {
	path := filepath.Join(s.dir, promisedName)
	raw, err := vfs.ReadFile(s.fs, path, 2*slotStride)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read what was promised: %w", err)
	}
	seq, payload, err := newestSlot(raw, promisedMagic, promisedLength)
	if err != nil {
		return &DamagedError{File: path, Reason: err.Error()}
	}
	s.promised.seq, s.promised.at = seq, lsn.LSN(binary.LittleEndian.Uint64(payload))
	if s.promised.at != PromisedAll {
		return nil
	}
	end := s.Positions().Received
	if r, owed := s.Repairing(); owed {
		end = max(end, r.To) // was stored, and will be again
	}
	return s.SetPromised(end)
}
