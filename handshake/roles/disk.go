package roles

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/replproxy/replproxy/internal/durable"
	"github.com/replproxy/replproxy/internal/keyfile"
)

const (
	// rolesFile keeps the primary's answers: a line with the format and the SHA-256 of the rest, then JSON.
	rolesFile = "roles"
	// mockFile keeps the secret from which the salts of unknown roles are made.
	mockFile = "mock_secret"

	format     = "replproxy-auth-1"
	secretSize = 32
)

// kept is the content of rolesFile. Parameters and Settings are of the primary, as walsender sessions are
// shown them.
type kept struct {
	Roles      []entry           `json:"roles"`
	Iterations int               `json:"iterations"`
	Parameters map[string]string `json:"parameters"`
	Settings   map[string]string `json:"settings"`
}

var errDamaged = errors.New("the file is damaged")

// load reads rolesFile. No file is an empty kept. A damaged one, or one that others may read, is an error.
func load(dir string) (k kept, err error) {
	b, err := keyfile.ReadPasswords(filepath.Join(dir, rolesFile))
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return k, err
	}
	return decode(b)
}

func decode(b []byte) (k kept, err error) {
	head, body, ok := bytes.Cut(b, []byte("\n"))
	if sum := sha256.Sum256(body); !ok || string(head) != format+" "+hex.EncodeToString(sum[:]) {
		return k, errDamaged
	}
	if err := json.Unmarshal(body, &k); err != nil {
		return kept{}, errDamaged // the library's text may quote a value
	}
	return k, nil
}

func encode(k kept) ([]byte, error) {
	body, err := json.Marshal(k)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	return append([]byte(format+" "+hex.EncodeToString(sum[:])+"\n"), body...), nil
}

// secret reads mockFile. It makes one where there is none, or one of another size. One that others may read is an
// error.
func secret(dir string) ([]byte, error) {
	path := filepath.Join(dir, mockFile)
	b, err := keyfile.ReadPasswords(path)
	if err == nil && len(b) == secretSize {
		return b, nil
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		b = make([]byte, secretSize)
		_, _ = rand.Read(b) // never fails
		err = write(dir, mockFile, b)
	}
	return b, err
}

// write puts a file into place as a whole and durably, for this user's eyes only (0600). It blocks for the disk.
func write(dir, name string, b []byte) error {
	if err := durable.MakeDir(dir); err != nil {
		return err
	}
	return durable.WriteFile(durable.OS{}, filepath.Join(dir, name), b)
}
