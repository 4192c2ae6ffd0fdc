package scramauth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Names of the mechanisms.
const (
	Mechanism     = "SCRAM-SHA-256"
	MechanismPlus = "SCRAM-SHA-256-PLUS"
)

const (
	// DefaultIterations is PostgreSQL's scram_iterations.
	DefaultIterations = 4096
	// MaxVerifier bounds the text of a verifier: PostgreSQL's own have 133 characters, a longer salt and
	// count leave room.
	MaxVerifier = 512
	// saltSize is PostgreSQL's SCRAM_DEFAULT_SALT_LEN.
	saltSize = 16
)

// Key is a StoredKey, ServerKey or ClientKey.
type Key [32]byte

// Format shows nothing of the key.
func (Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "********") }

// Verifier is a server's record of a password.
type Verifier struct {
	Iterations           int
	Salt                 []byte
	StoredKey, ServerKey Key
}

// ErrVerifier is a text that is no verifier. It does not quote the text.
var ErrVerifier = errors.New("not a SCRAM-SHA-256 verifier")

// ParseVerifier reads a verifier as pg_authid.rolpassword has it. [ErrVerifier]: text is none, such as an md5 hash; the
// error does not quote it.
func ParseVerifier(text string) (v Verifier, err error) {
	if len(text) > MaxVerifier {
		return v, ErrVerifier
	}
	parts := strings.Split(text, "$")
	if len(parts) != 3 || parts[0] != Mechanism {
		return v, ErrVerifier
	}
	count, salt, ok1 := strings.Cut(parts[1], ":")
	stored, server, ok2 := strings.Cut(parts[2], ":")
	if !ok1 || !ok2 {
		return v, ErrVerifier
	}
	n, err := strconv.ParseInt(count, 10, 32)
	if err != nil || n < 1 {
		return v, ErrVerifier
	}
	v.Iterations = int(n)
	if v.Salt, err = base64.StdEncoding.Strict().DecodeString(salt); err != nil || len(v.Salt) == 0 {
		return Verifier{}, ErrVerifier
	}
	if !decodeKey(&v.StoredKey, stored) || !decodeKey(&v.ServerKey, server) {
		return Verifier{}, ErrVerifier
	}
	return v, nil
}

// decodeKey reads 32 bytes of base64. Go's decoder skips line breaks, PostgreSQL's too, but no key has some.
func decodeKey(k *Key, text string) bool {
	if len(text) != base64.StdEncoding.EncodedLen(len(k)) {
		return false
	}
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	return err == nil && len(b) == len(k) && copy(k[:], b) == len(k)
}
