package walstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/fanout/walstore/walformat"
	"github.com/replproxy/replproxy/grammar/lsn"
)

const (
	lockName     = "lock"
	divergedName = "diverged"
)

// open recovers the store from what its directory has. The numbers are those of docs/walstore-format.md, "Recovery".
func (s *Store) open(ctx context.Context) error {
	if err := s.takeDir(); err != nil { // steps 1 and 2
		return err
	}
	id, adopted, err := s.readMeta() // step 3
	if err != nil || !adopted {
		return err
	}
	if err := s.openAdopted(ctx, id); err != nil {
		return err
	}
	return s.readPromised() // step 12
}

func (s *Store) openAdopted(ctx context.Context, id Identity) error {
	s.adopted(id)
	if err := s.readNames(); err != nil { // step 4
		return err
	}
	m, ok, err := s.readMark() // step 5
	if err != nil || !ok {
		return err
	}
	h, err := s.historyOf(m.Timeline)
	if err != nil {
		return err
	}
	if err := s.dropUnpublished(h, m); err != nil { // step 6
		return err
	}
	end, damaged, err := s.findEnd(ctx, h, m) // steps 7 and 8
	if err == nil {
		err = s.findLost(h, m)
	}
	if err != nil {
		return err
	}
	owed := s.readOwed()
	if end < m.LSN {
		owed = s.owe(m, end, damaged)
	}
	if owed, damaged, err = s.finishAt(h, m, end, owed, damaged); err != nil {
		return err
	}
	return s.resumeRepair(owed, damaged)
}

// takeDir locks the directory (1) and refuses one that is not ours (2).
func (s *Store) takeDir() error {
	if err := s.fs.MkdirAll(s.dir); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	names, err := s.fs.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("read data directory: %w", err)
	}
	ours := slices.Contains(names, metaName)
	if found, foreign := foreignName(names); !ours && foreign {
		return &ForeignDirError{Dir: s.dir, Found: found}
	}
	s.lock, err = s.fs.Lock(filepath.Join(s.dir, lockName))
	if held := (*vfs.HeldError)(nil); errors.As(err, &held) {
		return &LockedError{Dir: s.dir, PID: held.PID}
	}
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("data directory %q is not writable: %w", s.dir, err)
	}
	if err != nil {
		return fmt.Errorf("lock data directory: %w", err)
	}
	if err := s.fs.MkdirAll(s.walDir); err != nil {
		return fmt.Errorf("make WAL directory: %w", err)
	}
	if !ours {
		if err := s.newDir(); err != nil {
			return err
		}
	}
	if err := s.setAside(); err != nil {
		return err
	}
	// Names that the last process changed may be in the kernel's memory only.
	for _, dir := range []string{s.dir, s.walDir} {
		if err := s.fs.SyncDir(dir); err != nil {
			return fmt.Errorf("flush directory: %w", err)
		}
	}
	return nil
}

// newDir makes the directory ours, durably, by a meta file that says "not adopted".
func (s *Store) newDir() error {
	// The directory's own name must last too; a parent that we may not read has other owners.
	if err := s.fs.SyncDir(filepath.Dir(s.dir)); err != nil && !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("make data directory: %w", err)
	}
	none := twoCopies(metaMagic, encodeMeta(Identity{}))
	if err := vfs.WriteFile(s.fs, filepath.Join(s.dir, metaName), none); err != nil {
		return fmt.Errorf("make a new store: %w", err)
	}
	return nil
}

// foreignName returns an entry that an interrupted first Open can't have left, if there is one among names.
func foreignName(names []string) (string, bool) {
	if slices.Contains(names, "PG_VERSION") {
		return "PG_VERSION", true
	}
	for _, name := range names {
		switch name {
		case lockName, walDirName, metaName + vfs.TempSuffix, "lost+found", "cluster": // the last: a node's key
		default:
			return name, true
		}
	}
	return "", false
}

// Exists reports whether dir has been a store, with WAL or without. One that is damaged or cannot be read counts. The
// error is always nil.
func Exists(dir string) (bool, error) {
	_, _, err := readMeta(vfs.OS{}, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return true, nil // a damaged one is one as well
}

// ReadIdentity reads whose WAL the store in dir holds, without opening it: a proxy may be using it. false: nobody's
// yet, or there is no store.
func ReadIdentity(dir string) (Identity, bool, error) {
	id, ok, err := readMeta(vfs.OS{}, dir)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return id, ok, err
}

func (s *Store) readMeta() (Identity, bool, error) { return readMeta(s.fs, s.dir) }

func readMeta(files vfs.FS, dir string) (Identity, bool, error) {
	path := filepath.Join(dir, metaName)
	raw, err := vfs.ReadFile(files, path, 2*copyStride)
	if err != nil {
		return Identity{}, false, fmt.Errorf("read meta file: %w", err)
	}
	_, payload, err := newestCopy(raw, metaMagic, metaLength)
	if err != nil {
		return Identity{}, false, &DamagedError{File: path, Reason: err.Error()}
	}
	id := decodeMeta(payload)
	if id == (Identity{}) {
		return id, false, nil
	}
	if _, known := walformat.Magic(id.ServerMajor); !known || !id.SegSize.Valid() {
		return id, false, &DamagedError{File: path, Reason: fmt.Sprintf("impossible identity %+v", id)}
	}
	return id, true, nil
}

// readNames (4) reads the history files and lists the segments. Half-made files go away: they were
// never named. So do spare ones: one whose name of a segment a power loss took back holds that segment's
// WAL, which must not turn up beyond the end of another history.
func (s *Store) readNames() error {
	names, err := s.fs.ReadDir(s.walDir)
	if err != nil {
		return fmt.Errorf("read WAL directory: %w", err)
	}
	var copies []string
	for _, name := range names {
		tli, isHistory := lsn.ParseHistoryFileName(name)
		t, segno, isSegment := s.segs.size.ParseFileName(name)
		switch {
		case isSegment:
			s.segs.add(segKey{t, segno})
		case isHistory:
			if err := s.readHistory(tli); err != nil {
				return err
			}
		case strings.HasSuffix(name, historyCopy):
			copies = append(copies, name)
		case isSpare(name), filepath.Ext(name) == vfs.TempSuffix:
			if err := s.segs.remove(name); err != nil {
				return err
			}
		}
	}
	return s.restoreHistories(copies)
}

func (s *Store) readHistory(tli lsn.TimelineID) error {
	return s.readHistoryFrom(tli.HistoryFileName(), tli)
}

func (s *Store) readHistoryFrom(name string, tli lsn.TimelineID) error {
	content, err := vfs.ReadFile(s.fs, s.walPath(name), maxHistory)
	if err != nil {
		return fmt.Errorf("read timeline history: %w", err)
	}
	parsed, err := lsn.ParseHistory(tli, content)
	if err != nil {
		return &DamagedError{File: name, Reason: err.Error()}
	}
	s.histories[tli] = storedHistory{parsed, content}
	return nil
}

// readMark (5) opens the mark. false: a store that was adopted and got no WAL has none. Without a valid one where there
// are segments it is a *[DamagedError].
func (s *Store) readMark() (mark, bool, error) {
	path := s.walPath(markName)
	f, err := s.fs.OpenWrite(path)
	if errors.Is(err, fs.ErrNotExist) {
		if len(s.segs.have) > 0 {
			return mark{}, false, &DamagedError{File: path, Reason: "it is missing, and there are segments"}
		}
		return mark{}, false, nil
	}
	if err != nil {
		return mark{}, false, fmt.Errorf("open mark: %w", err)
	}
	s.stages.mark.f = f
	raw := make([]byte, 2*copyStride)
	n, err := f.ReadAt(raw, 0)
	if err != nil && err != io.EOF {
		return mark{}, false, fmt.Errorf("read mark: %w", err)
	}
	seq, m, err := newestMark(raw[:n])
	if err != nil {
		return mark{}, false, &DamagedError{File: path, Reason: "neither copy is valid: " + err.Error()}
	}
	if !m.possible() {
		return mark{}, false, &DamagedError{File: path, Reason: fmt.Sprintf("impossible mark %+v", m)}
	}
	s.stages.mark.seq, s.stages.mark.last = seq, m
	return m, true, nil
}

// createMark makes the mark of a store that begins, durably, and opens it.
func (s *Store) createMark(m mark) error {
	content := twoCopies(markMagic, m.append(nil))
	path := s.walPath(markName)
	if err := vfs.WriteFile(s.fs, path, content); err != nil {
		return fmt.Errorf("create mark: %w", err)
	}
	f, err := s.fs.OpenWrite(path)
	if err != nil {
		return fmt.Errorf("open mark: %w", err)
	}
	s.stages.mark.f, s.stages.mark.seq, s.stages.mark.last = f, 2, m
	return nil
}

func (s *Store) walPath(name string) string { return filepath.Join(s.walDir, name) }
