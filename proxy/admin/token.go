package admin

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"strings"

	"github.com/replproxy/replproxy/internal/afterlock"
	"github.com/replproxy/replproxy/internal/keyfile"
)

// minToken keeps a token from being guessed; openssl rand -hex 16 gives 32.
const minToken = 16

// Token is the bearer token in a file that only its owner may read. It is read again when the file changes; one that
// cannot be used leaves the one before in use. Safe for concurrent use. Make it with [OpenToken].
type Token struct {
	path string
	log  *slog.Logger

	mu   afterlock.Mutex
	seen fs.FileInfo
	sum  [sha256.Size]byte // of the token: all sums have one length, so comparing takes one time
}

// OpenToken reads the token from the file at path. The error says why the file cannot be used.
func OpenToken(path string, log *slog.Logger) (*Token, error) {
	t := &Token{path: path, log: log}
	t.seen, _ = os.Stat(path)
	return t, t.read()
}

func (t *Token) read() error {
	content, err := keyfile.ReadPasswords(t.path)
	if err != nil {
		return err
	}
	token := bytes.TrimSpace(content)
	if len(token) < minToken {
		return fmt.Errorf("token file %q: a token has at least %d bytes", t.path, minToken)
	}
	if bytes.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("token file %q: a token is one word of visible ASCII, as it stands in a header", t.path)
	}
	t.sum = sha256.Sum256(token)
	return nil
}

// admits reports whether a request carries the token. A nil Token admits all.
func (t *Token) admits(r *http.Request) bool {
	if t == nil {
		return true
	}
	t.mu.Lock()
	if now, err := os.Stat(t.path); err == nil && !keyfile.Same(t.seen, now) {
		t.seen = now
		if err := t.read(); err != nil {
			t.mu.After(func() {
				t.log.Error("the http token file has changed and cannot be used: the token before stays in use",
					"err", err)
			})
		}
	}
	want := t.sum
	t.mu.Unlock()
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	got := sha256.Sum256([]byte(token))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// guard asks for the token except where nothing is told: the probes, and the files of the page, which asks for
// it.
func (t *Token) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/healthz", "/readyz", "/", "/page.js", "/page.css":
		default:
			if !t.admits(r) {
				w.Header().Set("WWW-Authenticate", `Bearer realm="replproxy"`)
				text(w, http.StatusUnauthorized, "a bearer token is needed, the one in http_token_file")
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}
