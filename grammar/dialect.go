package grammar

import (
	"errors"
	"strings"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

// Dialect is whose rules a text is read by. The zero Dialect is a physical walsender of 14.0.
type Dialect struct {
	Version Version
	// Database is set for a walsender that is connected to a database (replication=database). It
	// executes SQL as well, and its server encoding is taken as UTF-8; a physical walsender has none
	// and counts bytes. The two differ in where an over-long identifier is cut.
	Database bool
}

// ErrSQL is the error of [Dialect.Parse] on a database walsender when the text is SQL.
var ErrSQL = errors.New("not a replication command")

// Parse reads one command of a physical walsender. It is [Dialect.Parse] with Database unset.
func Parse(text string, v Version) (Command, []*pgerror.Error, error) {
	return Dialect{Version: v}.Parse(text)
}

// IsReplicationCommand tells by the first token alone whether text goes to the replication grammar
// (true) or to SQL (false). The error is 42601: the first token is an unterminated quote.
func IsReplicationCommand(text string, v Version) (bool, error) {
	is, _, err := Dialect{Version: v}.Dispatch(text)
	return is, err
}

// Dispatch looks at the first token, as [IsReplicationCommand], and returns the notices that this
// look alone causes. No more of a SQL text is read.
func (d Dialect) Dispatch(text string) (isCommand bool, notices []*pgerror.Error, err error) {
	s := newScanner(text, d)
	t, serr := s.next()
	if serr != nil {
		return false, s.notices, serr
	}
	return t.kind == tokKeyword && isCommandWord(t.text), s.notices, nil
}

// Parse reads one command with its optional semicolon. Notices (42622, an identifier was truncated)
// are sent before the result and come with errors too. Every error is a *[pgerror.Error], except
// [ErrSQL] on a database walsender. The text ends at its first NUL, as a C string does.
func (d Dialect) Parse(text string) (Command, []*pgerror.Error, error) {
	is, notices, err := d.Dispatch(text)
	if err != nil {
		return nil, notices, err
	}
	if !is {
		if d.Database {
			return nil, notices, ErrSQL
		}
		return nil, notices, pgerror.New(pgerror.FeatureNotSupported,
			"cannot execute SQL commands in WAL sender for physical replication")
	}
	p := parser{scanner: newScanner(text, d), v: d.Version}
	c, perr := p.command()
	if perr != nil {
		return nil, p.scanner.notices, perr
	}
	return c, p.scanner.notices, nil
}

// cString returns the text up to its first NUL.
func cString(s string) string {
	s, _, _ = strings.Cut(s, "\x00")
	return s
}
