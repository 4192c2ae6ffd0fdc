package slot

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/replproxy/replproxy/internal/datadir"
	"github.com/replproxy/replproxy/internal/durable"
)

// FS is the little that the table needs of a directory. Names are plain file names inside it.
// Calls never overlap.
type FS interface {
	// List returns the names of the regular files; a directory that does not exist is made.
	List() ([]string, error)
	// Read returns the whole file; at most limit bytes plus one of a larger one.
	Read(name string, limit int) ([]byte, error)
	// WriteSync makes the file hold exactly b and durable. The name itself may still be lost.
	WriteSync(name string, b []byte) error
	// Overwrite does the same to a file that exists and has the size of b, which lies within one sector. It needs no
	// more room. A power loss leaves the old content or the new.
	Overwrite(name string, b []byte) error
	// Rename replaces to by from, at once for whoever looks.
	Rename(from, to string) error
	// Remove deletes the file; one that does not exist is no error.
	Remove(name string) error
	// SyncDir makes all renames and removals durable.
	SyncDir() error
}

// osDir is FS in a directory of the operating system.
type osDir string

func (d osDir) path(name string) string { return filepath.Join(string(d), name) }

func (d osDir) List() ([]string, error) {
	if err := durable.MakeDir(string(d)); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(string(d))
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names, err
}

func (d osDir) Read(name string, limit int) ([]byte, error) {
	f, err := os.Open(d.path(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, int64(limit)+1))
}

func (d osDir) WriteSync(name string, b []byte) error {
	return durable.Stage(durable.OS{}, d.path(name), b)
}

func (d osDir) Overwrite(name string, b []byte) error {
	f, err := os.OpenFile(d.path(name), os.O_WRONLY|datadir.NoFollow, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && info.Size() != int64(len(b)) {
		err = errors.New("the file has another size")
	}
	if err == nil {
		_, err = f.WriteAt(b, 0)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func (d osDir) Rename(from, to string) error { return os.Rename(d.path(from), d.path(to)) }

func (d osDir) Remove(name string) error {
	if err := os.Remove(d.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (d osDir) SyncDir() error { return durable.OS{}.SyncDir(string(d)) }
