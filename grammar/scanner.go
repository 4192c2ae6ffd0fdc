package grammar

import (
	"strconv"
	"strings"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// maxIdentifier is NAMEDATALEN-1: longer identifiers are cut with a notice.
const maxIdentifier = 63

type tokenKind uint8

const (
	tokEOF     tokenKind = iota
	tokKeyword           // text: the upper-case word
	tokIdent             // text: folded or unquoted, cut
	tokString            // text
	tokNumber            // num
	tokLSN               // at
	tokChar              // text: the byte itself
)

type token struct {
	kind tokenKind
	text string
	num  uint32
	at   lsn.LSN
}

// scanner cuts a text into tokens (facts B2). It reads no further than it is asked to, because a
// notice or error of a later token must not overtake an error of the grammar.
type scanner struct {
	rest    string
	d       Dialect
	notices []*pgerror.Error
}

func newScanner(text string, d Dialect) *scanner { return &scanner{rest: cString(text), d: d} }

func (s *scanner) next() (token, *pgerror.Error) {
	s.skipBlanks()
	if s.rest == "" {
		return token{kind: tokEOF}, nil
	}
	c := s.rest[0]
	if n := lsnLength(s.rest); n > 0 {
		return token{kind: tokLSN, at: parseLSN(s.take(n))}, nil
	}
	switch {
	case isDigit(c):
		return token{kind: tokNumber, num: parseNumber(s.take(span(s.rest, isDigit)))}, nil
	case isIdentStart(c):
		return s.word(), nil
	case c == '"':
		text, err := s.quoted('"', s.d.Version.doubledQuotes())
		return token{kind: tokIdent, text: s.clip(text)}, err
	case c == '\'':
		text, err := s.quoted('\'', true)
		return token{kind: tokString, text: text}, err
	}
	return token{kind: tokChar, text: s.take(1)}, nil
}

func (s *scanner) take(n int) string {
	t := s.rest[:n]
	s.rest = s.rest[n:]
	return t
}

func (s *scanner) skipBlanks() {
	blanks := " \t\n\r\f"
	if s.d.Version.verticalTab() {
		blanks += "\v"
	}
	s.rest = strings.TrimLeft(s.rest, blanks)
}

// word reads a keyword, which is upper case, or an identifier, which is folded to lower case.
func (s *scanner) word() token {
	w := s.take(span(s.rest, isIdentCont))
	if isKeyword(w, s.d.Version) {
		return token{kind: tokKeyword, text: w}
	}
	return token{kind: tokIdent, text: s.clip(lower(w))}
}

// quoted reads up to the closing quote; with doubled a doubled quote inside stands for one. Without a closing quote it
// is a syntax error, and nothing is left.
func (s *scanner) quoted(quote byte, doubled bool) (string, *pgerror.Error) {
	var b strings.Builder
	for rest := s.rest[1:]; ; {
		i := strings.IndexByte(rest, quote)
		if i < 0 {
			s.rest = ""
			return "", pgerror.New(pgerror.SyntaxError, "unterminated quoted string")
		}
		b.WriteString(rest[:i])
		rest = rest[i+1:]
		if !doubled || rest == "" || rest[0] != quote {
			s.rest = rest
			return b.String(), nil
		}
		b.WriteByte(quote)
		rest = rest[1:]
	}
}

// clip cuts an over-long identifier at a character boundary and notes that.
func (s *scanner) clip(name string) string {
	if len(name) <= maxIdentifier {
		return name
	}
	n := maxIdentifier
	if s.d.Database {
		n = clipUTF8(name, maxIdentifier)
	}
	s.notices = append(s.notices, pgerror.Notice(pgerror.NameTooLong,
		"identifier \"%s\" will be truncated to \"%s\"", name, name[:n]))
	return name[:n]
}

// clipUTF8 returns the length of the longest prefix of whole characters within limit bytes. The first byte of a
// character tells its length.
func clipUTF8(s string, limit int) int {
	n := 0
	for n < len(s) {
		size := 1
		switch c := s[n]; {
		case c&0xe0 == 0xc0:
			size = 2
		case c&0xf0 == 0xe0:
			size = 3
		case c&0xf8 == 0xf0:
			size = 4
		}
		if n+size > limit {
			break
		}
		n += size
	}
	return n
}

// lsnLength returns the length of the LSN that s begins with, 0 if it begins with none. The longest match wins, so an
// LSN beats the number or identifier that its first half would be.
func lsnLength(s string) int {
	hi := span(s, isHex)
	if hi == 0 || hi >= len(s) || s[hi] != '/' {
		return 0
	}
	lo := span(s[hi+1:], isHex)
	if lo == 0 {
		return 0
	}
	return hi + 1 + lo
}

// parseLSN reads halves of any length: 64 bits are read, saturating, and the low 32 survive.
func parseLSN(s string) lsn.LSN {
	hi, lo, _ := strings.Cut(s, "/")
	return lsn.LSN(low32(hi, 16))<<32 | lsn.LSN(low32(lo, 16))
}

func parseNumber(s string) uint32 { return low32(s, 10) }

// low32 reads digits as C's strtoul on a 64-bit machine and drops the upper half.
func low32(s string, base int) uint32 {
	n, _ := strconv.ParseUint(s, base, 64) // the only possible error is the range, n is then the maximum
	return uint32(n)
}

func span(s string, in func(byte) bool) int {
	for i := 0; i < len(s); i++ {
		if !in(s[i]) {
			return i
		}
	}
	return len(s)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isHex(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

func isIdentStart(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' || c >= 0x80 }

func isIdentCont(c byte) bool { return isIdentStart(c) || isDigit(c) || c == '$' }

// lower folds ASCII letters only: strings.ToLower knows Unicode, PostgreSQL does not.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
