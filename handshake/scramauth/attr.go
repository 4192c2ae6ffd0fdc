package scramauth

import (
	"fmt"
	"strings"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

// attrs reads the attributes of a message of the client, with PostgreSQL's complaints. A message holds no
// zero byte: Server has looked.
type attrs struct{ rest string }

// next returns the first byte of what is left, 0 at the end.
func (a *attrs) next() byte {
	if a.rest == "" {
		return 0
	}
	return a.rest[0]
}

// skip leaves the first byte behind; there is one, or next was 0 and it is not called.
func (a *attrs) skip() { a.rest = a.rest[1:] }

// value reads the value of the next attribute, which has to be name. Any other is PostgreSQL's error.
func (a *attrs) value(name byte) (string, error) {
	if c := a.next(); c != name {
		return "", malformed(`Expected attribute "%c" but found "%s".`, name, sanitize(c))
	}
	return a.valueOf(name)
}

// any reads whatever attribute comes. No attribute is PostgreSQL's error.
func (a *attrs) any() (name byte, value string, err error) {
	name = a.next()
	switch {
	case name == 0:
		return 0, "", malformed("Attribute expected, but found end of string.")
	case name < 'A' || name > 'Z' && name < 'a' || name > 'z':
		return 0, "", malformed(`Attribute expected, but found invalid character "%s".`, sanitize(name))
	}
	value, err = a.valueOf(name)
	return name, value, err
}

func (a *attrs) valueOf(name byte) (string, error) {
	if a.skip(); a.next() != '=' {
		return "", malformed(`Expected character "=" for attribute "%c".`, name)
	}
	a.skip()
	value, rest, _ := strings.Cut(a.rest, ",")
	a.rest = rest
	return value, nil
}

func malformed(detail string, args ...any) *pgerror.Error {
	return pgerror.Fatal(pgerror.ProtocolViolation, "malformed SCRAM message").WithDetail(detail, args...)
}

// sanitize returns one byte in printable form, as PostgreSQL prints it.
func sanitize(c byte) string {
	if printable(c) {
		return fmt.Sprintf("'%c'", c)
	}
	return fmt.Sprintf("0x%02x", c)
}

// maxQuoted bounds the part of a client's text that PostgreSQL quotes.
const maxQuoted = 30

// sanitizeText returns the beginning of a text with every byte that is not printable replaced.
func sanitizeText(s string) string {
	b := []byte(s[:min(len(s), maxQuoted)])
	for i, c := range b {
		if !printable(c) {
			b[i] = '?'
		}
	}
	return string(b)
}

func printable(c byte) bool { return c >= 0x21 && c <= 0x7e }

// nonce reports whether s may be a nonce, or a part of one.
func nonce(s string) bool {
	for i := range len(s) {
		if !printable(s[i]) || s[i] == ',' {
			return false
		}
	}
	return true
}
