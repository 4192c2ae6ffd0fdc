package grammar_test

import (
	"errors"
	"testing"

	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// FuzzParse: no panic, every error is one that PostgreSQL could have sent, render∘parse is the
// identity, and a tree is not larger than a small multiple of its text.
func FuzzParse(f *testing.F) {
	versions := allVersions()
	for i, text := range append(readTexts(f, "testdata"), readTexts(f, "testdata/database")...) {
		f.Add(text, uint8(i%len(versions)), i%16 >= 8)
	}
	f.Fuzz(func(t *testing.T, text string, version uint8, database bool) {
		d := grammar.Dialect{Version: versions[int(version)%len(versions)], Database: database}
		c, notices, err := d.Parse(text)
		if len(notices) > len(text)/64 {
			t.Errorf("%d notices of %d bytes", len(notices), len(text))
		}
		if err != nil {
			checkError(t, d, c, err)
			return
		}
		if is, _, err := d.Dispatch(text); !is || err != nil {
			t.Errorf("%q was parsed, but dispatched as %v, %v", text, is, err)
		}
		identity(t, d, text)
		if size := len(grammar.Render(c, d.Version)); size > 100+8*len(text) {
			t.Errorf("%d bytes became %d", len(text), size)
		}
	})
}

func checkError(t *testing.T, d grammar.Dialect, c grammar.Command, err error) {
	t.Helper()
	var pe *pgerror.Error
	switch {
	case c != nil:
		t.Errorf("a command with an error: %#v, %v", c, err)
	case errors.Is(err, grammar.ErrSQL) && d.Database:
	case !errors.As(err, &pe) || pe.Code == "" || pe.Message == "" || pe.Severity != pgerror.SeverityError:
		t.Errorf("not an error of PostgreSQL: %v", err)
	}
}
