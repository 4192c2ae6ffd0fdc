package pgtest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// copyTree copies folder from to the new folder to, for that user. Paths (relative to from) for which skip says true
// are left out; a skipped folder is made, but empty. Files that vanish meanwhile are left out as well, as base backups
// allow.
func copyTree(from, to string, who osUser, skip func(rel string) bool) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path != from {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		skipped := skip != nil && skip(rel)
		target := filepath.Join(to, rel)
		switch {
		case d.IsDir():
			if err := os.Mkdir(target, 0o700); err != nil {
				return err
			}
			if err := who.Own(target); err != nil {
				return err
			}
			if skipped {
				return fs.SkipDir
			}
			return nil
		case skipped:
			return nil
		case d.Type().IsRegular():
			return copyFile(path, target, who)
		default:
			return fmt.Errorf("%s is neither file nor folder", path)
		}
	})
}

func copyFile(from, to string, who osUser) error {
	in, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close(), who.Own(to))
}

// writeFile writes a file that belongs to that user.
func writeFile(path string, content []byte, who osUser) error {
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return err
	}
	return who.Own(path)
}
