package lsn

import (
	"errors"
	"log/slog"
	"strconv"
)

// PageSize is XLOG_BLCKSZ, the size of a WAL page in bytes. PostgreSQL can be built with another
// size; such a server is refused when its first long page header is seen.
const PageSize = 8192

// LSN is a byte position in the WAL. The zero value is [Invalid]. A position names the byte that
// follows the last one it covers ("last byte + 1"), as in PostgreSQL's messages.
type LSN uint64

// Invalid is PostgreSQL's InvalidXLogRecPtr: no position.
const Invalid LSN = 0

// ErrSyntax reports a text that is not an LSN in the form X/X.
var ErrSyntax = errors.New("invalid LSN")

// Parse reads the form "16/B374D848": one to eight hexadecimal digits on each side of the slash,
// either case, and nothing else. It wraps [ErrSyntax].
func Parse(s string) (LSN, error) {
	for i := 0; i < len(s); i++ {
		if s[i] != '/' {
			continue
		}
		hi, err1 := parseHalf(s[:i])
		lo, err2 := parseHalf(s[i+1:])
		if err1 != nil || err2 != nil {
			break
		}
		return LSN(hi)<<32 | LSN(lo), nil
	}
	return Invalid, &parseError{s}
}

func parseHalf(s string) (uint64, error) {
	if len(s) < 1 || len(s) > 8 {
		return 0, ErrSyntax
	}
	for i := 0; i < len(s); i++ {
		// ParseUint also takes "_" and signs in some bases; a half takes digits only.
		c := s[i] | 0x20
		if !('0' <= s[i] && s[i] <= '9' || 'a' <= c && c <= 'f') {
			return 0, ErrSyntax
		}
	}
	return strconv.ParseUint(s, 16, 32)
}

type parseError struct{ text string }

func (e *parseError) Error() string { return "invalid LSN " + strconv.Quote(e.text) }
func (e *parseError) Unwrap() error { return ErrSyntax }

// String prints the position as PostgreSQL 13 to 18 do: upper case, no padding.
func (l LSN) String() string {
	b := make([]byte, 0, 17)
	b = appendHex(b, uint32(l>>32))
	b = append(b, '/')
	b = appendHex(b, uint32(l))
	return string(b)
}

func appendHex(b []byte, v uint32) []byte {
	const digits = "0123456789ABCDEF"
	var tmp [8]byte
	i := len(tmp)
	for {
		i--
		tmp[i] = digits[v&15]
		v >>= 4
		if v == 0 {
			return append(b, tmp[i:]...)
		}
	}
}

// LogValue prints the position as X/X in log records.
func (l LSN) LogValue() slog.Value { return slog.StringValue(l.String()) }

// MarshalText writes X/X, so that JSON documents show what PostgreSQL shows.
func (l LSN) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads X/X; any other text wraps [ErrSyntax] and changes nothing.
func (l *LSN) UnmarshalText(b []byte) error {
	v, err := Parse(string(b))
	if err == nil {
		*l = v
	}
	return err
}

// PageStart returns the position of the first byte of the page that holds l.
func (l LSN) PageStart() LSN { return l - l%PageSize }

// PageOffset returns the distance from the start of the page that holds l.
func (l LSN) PageOffset() int { return int(l % PageSize) }

// IsPageStart reports whether l is the first byte of a page.
func (l LSN) IsPageStart() bool { return l%PageSize == 0 }
