package demo

import (
	"io/fs"
	"path/filepath"

	"github.com/replproxy/replproxy/internal/child"
)

// account is the user that the demo's processes run as.
type account struct{ child.Account }

// own gives a tree to the account.
func (a account) own(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return a.Own(path)
	})
}
