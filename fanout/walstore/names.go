package walstore

import (
	"fmt"
	"slices"
)

// checkNames fails by a *[vfs.GoneError] if one of files is not found by its name: a start would not find what was
// written to it.
func checkNames(files []*segFile) error {
	for _, f := range files {
		if err := f.f.CheckName(); err != nil {
			return fmt.Errorf("flush WAL: %w", err)
		}
	}
	return nil
}

// lookAtNames does that for the files that are open for writing, the mark among them. It leaves out those of a step
// that runs, which looks by itself, and so it never waits for the disk.
func (s *Store) lookAtNames() error {
	g := &s.stages
	if g.sync.TryLock() {
		s.mu.Lock()
		files := slices.Clone(s.dirty)
		s.mu.Unlock()
		err := checkNames(files)
		g.sync.Unlock()
		if err != nil {
			return err
		}
	}
	if !g.markMu.TryLock() {
		return nil
	}
	defer g.markMu.Unlock()
	return g.mark.checkName()
}
