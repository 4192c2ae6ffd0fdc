package walstore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// historyCopy ends the name of a second file with a timeline's history: without it the store can't be opened, as
// nothing else says which WAL is whose.
const historyCopy = ".copy"

// restoreHistories puts back history files that are gone, from their copies, before anything asks for them.
func (s *Store) restoreHistories(copies []string) error {
	for _, name := range copies {
		file := strings.TrimSuffix(name, historyCopy)
		tli, ok := lsn.ParseHistoryFileName(file)
		if _, have := s.histories[tli]; !ok || have {
			continue
		}
		if err := s.readHistoryFrom(name, tli); err != nil {
			return err
		}
		// On a full disk it is made anew later.
		err := vfs.WriteFile(s.fs, s.walPath(file), s.histories[tli].content)
		s.log.Warn("a timeline's history file was gone, its copy takes its place", "file", file, "err", err)
	}
	return nil
}

// keepHistories makes anew what is gone of the history files and their copies while the store runs: an older release
// had it, or somebody removed them.
func (s *Store) keepHistories() error {
	s.histMu.Lock()
	defer s.histMu.Unlock()
	for tli, h := range s.histories {
		for _, name := range []string{tli.HistoryFileName(), tli.HistoryFileName() + historyCopy} {
			f, err := s.fs.Open(s.walPath(name))
			if err == nil {
				_ = f.Close()
				continue
			}
			if !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("look for a timeline's history: %w", err)
			}
			if err := vfs.WriteFile(s.fs, s.walPath(name), bytes.Clone(h.content)); err != nil {
				return fmt.Errorf("make a timeline's history file anew: %w", err)
			}
		}
	}
	return nil
}
