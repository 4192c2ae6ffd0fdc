package roles

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/replproxy/replproxy/internal/afterlock"
	"github.com/replproxy/replproxy/internal/keyfile"
)

// users is auth.users_file. Files that change are read at the next question; ones that cannot be used change nothing,
// and the log says why. Make it with openUsers.
type users struct {
	path string
	log  *slog.Logger

	mu   afterlock.Mutex
	all  map[string]Role
	seen fs.FileInfo // when it was read last, with or without success
	err  error       // why the file as it is now is not in use
}

// FileError is a users file that cannot be used.
type FileError struct{ Err error }

// Error returns the reason, which names the file.
func (e *FileError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *FileError) Unwrap() error { return e.Err }

// openUsers reads the file; "" is none. The error of one that is unusable is a *[FileError].
func openUsers(path string, log *slog.Logger) (*users, error) {
	u := &users{path: path, log: log}
	if path == "" {
		return u, nil
	}
	u.seen, _ = os.Stat(path)
	var err error
	if u.all, err = readUsers(path); err != nil {
		return nil, &FileError{err}
	}
	return u, nil
}

func readUsers(path string) (map[string]Role, error) {
	content, err := keyfile.ReadPasswords(path)
	if err != nil {
		return nil, err
	}
	all, err := parseFile(content)
	if err != nil {
		return nil, fmt.Errorf("users file %q: %w", path, err)
	}
	return all, nil
}

// find looks a role up, in the file as it is now. One that cannot be used leaves in force what it said before. false:
// it has no such role, or none is configured.
func (u *users) find(name string) (Role, bool) {
	if u.path == "" {
		return Role{}, false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	now, err := os.Stat(u.path)
	if err != nil {
		now = nil
	}
	if !keyfile.Same(u.seen, now) {
		u.seen = now // before reading, so that a change meanwhile is seen next time
		u.reload()
	}
	r, ok := u.all[name]
	return r, ok
}

// reload reads the file anew. The caller holds mu.
func (u *users) reload() {
	var all map[string]Role
	if all, u.err = readUsers(u.path); u.err != nil {
		err := u.err
		u.mu.After(func() {
			u.log.Error("auth.users_file has changed and cannot be used: what it said before stays in force",
				"err", err)
		})
		return
	}
	u.all = all
	u.mu.After(func() { u.log.Info("auth.users_file has changed and is in use", "roles", len(all)) })
}

func (u *users) status() (n int, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.all), u.err
}
