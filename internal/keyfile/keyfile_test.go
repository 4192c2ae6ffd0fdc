package keyfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestWhoMayReadAKey(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	if err := os.WriteFile(path, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	root := os.Geteuid() == 0
	for _, tc := range []struct {
		mode           fs.FileMode
		server, client string // "": may be read
	}{
		{0o600, "", ""}, {0o400, "", ""}, {0o500, "", ""},
		{0o640, "group or world", "group or world"}, {0o604, "group or world", "group or world"},
		{0o660, "group or world", "group or world"}, {0o644, "group or world", "group or world"},
	} {
		if err := os.Chmod(path, tc.mode); err != nil {
			t.Fatal(err)
		}
		if root && tc.mode == 0o640 {
			tc.client = "" // root's key; as a server's it is also our own
		}
		for who, want := range map[string]string{"server": tc.server, "client": tc.client} {
			read := ReadServer
			if who == "client" {
				read = ReadClient
			}
			b, err := read(path)
			switch {
			case want == "" && (err != nil || string(b) != "secret"):
				t.Errorf("%s, %o: %q, %v", who, tc.mode, b, err)
			case want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path)):
				t.Errorf("%s, %o: %v", who, tc.mode, err)
			}
		}
	}
}

func TestStrangeKeyFiles(t *testing.T) {
	dir := t.TempDir()
	pipe, large := filepath.Join(dir, "pipe"), filepath.Join(dir, "large")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(large, make([]byte, maxKey+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		dir: "is not a regular file", pipe: "is not a regular file", large: "too large",
		filepath.Join(dir, "absent"): "could not access file",
	} {
		for _, read := range []func(string) ([]byte, error){ReadServer, ReadClient} {
			if _, err := read(path); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}

func TestPasswordFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pgpass")
	if _, err := ReadPasswords(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, good := range map[fs.FileMode]bool{0o600: true, 0o400: true, 0o640: false, 0o604: false, 0o620: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		b, err := ReadPasswords(path)
		if good != (err == nil) || good != (string(b) == "x") || err != nil && !strings.Contains(err.Error(), path) {
			t.Errorf("%o: %q, %v", mode, b, err)
		}
	}
}

// TestSecretOfRoot: root may let a group read a key, as PostgreSQL allows; a password file nobody may, as for libpq.
func TestSecretOfRoot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	root := os.Geteuid() == 0
	for mode, good := range map[fs.FileMode]bool{0o600: true, 0o640: root, 0o440: root, 0o644: false, 0o660: false, 0o650: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadShared(path); good != (err == nil) {
			t.Errorf("%o: %v", mode, err)
		}
		if _, err := ReadSecret(path); (err == nil) != (mode == 0o600) {
			t.Errorf("%o, not shared: %v", mode, err)
		}
	}
}

// TestCredential: systemd 254 and newer show a credential as root's, with an access of the group that is an access control list.
func TestCredential(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", filepath.Join(dir, "service"))
	for _, tc := range []struct {
		path string
		mode fs.FileMode
		good bool
	}{
		{"service/pgpass", 0o440, os.Geteuid() == 0}, {"service/pgpass", 0o400, true}, {"service/pgpass", 0o444, false},
		{"service/pgpass", 0o460, false}, {"service/deeper/pgpass", 0o440, false}, {"service2/pgpass", 0o440, false},
		{"pgpass", 0o440, false}, {"service/../pgpass", 0o440, false},
	} {
		path := dir + "/" + tc.path
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, "service/deeper"), 0o700), os.MkdirAll(filepath.Dir(path), 0o700),
			os.RemoveAll(path), os.WriteFile(path, []byte("x"), 0o600), os.Chmod(path, tc.mode)); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadPasswords(path); tc.good != (err == nil) {
			t.Errorf("%s, %o: %v", tc.path, tc.mode, err)
		}
	}
	if os.Geteuid() != 0 {
		return // another owner needs root; CI has it
	}
	path := filepath.Join(dir, "service/pgpass")
	if err := errors.Join(os.Chmod(path, 0o440), os.Chown(path, 12345, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadPasswords(path); err == nil {
		t.Error("a group reads what is not root's")
	}
}

// TestOwners: by the rules alone, as a test cannot have every owner.
func TestOwners(t *testing.T) {
	if os.Geteuid() != 0 {
		return // another owner needs root; CI has it
	}
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadServer(path); err == nil || !strings.Contains(err.Error(), "must be owned by") {
		t.Errorf("another user's key: %v", err)
	}
	if _, err := ReadClient(path); err != nil {
		t.Errorf("as a client: %v", err)
	}
}

// owned is a file as it looks after chown.
type owned struct {
	fs.FileInfo
	by uint32
}

func (o owned) Sys() any { return &syscall.Stat_t{Uid: o.by} }

// TestSame: whatever may make a file usable, or another one, shows.
func TestSame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	stat := func() fs.FileInfo {
		info, err := os.Stat(path)
		if err != nil {
			return nil
		}
		return info
	}
	write := func(name, content string, mode fs.FileMode, at time.Time) {
		t.Helper()
		err := errors.Join(os.WriteFile(name, []byte(content), mode), os.Chmod(name, mode), os.Chtimes(name, at, at))
		if err != nil {
			t.Fatal(err)
		}
	}
	noon := time.Unix(1e9, 0)
	absent := stat()
	write(path, "a", 0o600, noon)
	was := stat()
	if !Same(was, stat()) || !Same(nil, nil) || Same(absent, was) || Same(was, absent) {
		t.Error("a file that is as it was, or is not there")
	}
	if lookOf(owned{was, 1}) == lookOf(owned{was, 2}) {
		t.Error("chown")
	}
	for what, change := range map[string]func(){
		"content": func() { write(path, "ab", 0o600, noon) },
		"mode":    func() { write(path, "a", 0o640, noon) },
		"time":    func() { write(path, "b", 0o600, noon.Add(time.Second)) },
		"another file": func() {
			write(path+"2", "c", 0o600, noon)
			if err := os.Rename(path+"2", path); err != nil {
				t.Fatal(err)
			}
		},
	} {
		write(path, "a", 0o600, noon)
		was := stat()
		if change(); Same(was, stat()) {
			t.Errorf("%s: no change is seen", what)
		}
	}
}
