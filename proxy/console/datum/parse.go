package datum

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// maxName is the longest value of type name in bytes: NAMEDATALEN - 1.
const maxName = 63

// spaces are the white space of C's isspace.
const spaces = " \t\n\r\v\f"

// Parse reads the text form of a type's value. zone is that of times which name none. Errors are *pgerror.Error.
func Parse(t Type, text string, zone *time.Location) (Value, error) {
	trimmed := strings.Trim(text, spaces)
	switch t {
	case Text, Varchar:
		return text, nil
	case Name:
		return Clip(text), nil
	case Bool:
		return parseBool(text, trimmed)
	case Int2:
		return parseInt(t, text, trimmed, 16)
	case Int4:
		return parseInt(t, text, trimmed, 32)
	case Int8:
		return parseInt(t, text, trimmed, 64)
	case OID, Xid:
		n, err := strconv.ParseUint(trimmed, 10, 32)
		if err != nil || strings.HasPrefix(trimmed, "0") && trimmed != "0" {
			return nil, errForm(t, text)
		}
		return int64(n), nil
	case Float8:
		return parseFloat(text, trimmed)
	case Numeric:
		return parseNumber(text, trimmed)
	case LSN:
		l, err := lsn.Parse(text)
		if err != nil {
			return nil, errText(t, text)
		}
		return l, nil
	case Inet:
		return parseInet(text)
	case Interval:
		return parseSpan(text)
	case Timestamptz:
		return parseTime(text, trimmed, zone)
	}
	return nil, errForm(t, text)
}

// Clip cuts a text to what a name holds, between two characters.
func Clip(text string) string {
	if len(text) <= maxName {
		return text
	}
	n := maxName
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

func parseBool(text, trimmed string) (Value, error) {
	word := strings.ToLower(trimmed)
	for _, full := range []string{"true", "yes", "on", "1"} {
		if word != "" && word != "o" && strings.HasPrefix(full, word) {
			return true, nil
		}
	}
	for _, full := range []string{"false", "no", "off", "0"} {
		if word != "" && word != "o" && strings.HasPrefix(full, word) {
			return false, nil
		}
	}
	return nil, errText(Bool, text)
}

// plainDigits reports whether a text is a sign at most, and digits.
func plainDigits(s string) bool {
	s = strings.TrimPrefix(strings.TrimPrefix(s, "-"), "+")
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// later reports whether a text may be a number for PostgreSQL 16 and later: 0x10, 1_000.
func later(s string) bool {
	s = strings.TrimPrefix(strings.TrimPrefix(s, "-"), "+")
	return s != "" && s[0] >= '0' && s[0] <= '9' && strings.ContainsAny(s, "_xXoObB")
}

func parseInt(t Type, text, trimmed string, bits int) (Value, error) {
	if !plainDigits(trimmed) || strings.HasPrefix(trimmed, "-+") {
		if later(trimmed) {
			return nil, errForm(t, text) // since 16 some are taken
		}
		return nil, errText(t, text)
	}
	n, err := strconv.ParseInt(trimmed, 10, bits)
	if err != nil {
		return nil, pgerror.New(pgerror.NumericOutOfRange, "value \"%s\" is out of range for type %s", text, t)
	}
	return n, nil
}

func parseFloat(text, trimmed string) (Value, error) {
	if trimmed == "" {
		return nil, errText(Float8, text)
	}
	if strings.Trim(trimmed, "0123456789+-.eE") != "" {
		if strings.ContainsAny(trimmed, "nNxX") {
			return nil, errForm(Float8, text) // nan, infinity and hexadecimal
		}
		return nil, errText(Float8, text)
	}
	f, err := strconv.ParseFloat(trimmed, 64)
	if errors.Is(err, strconv.ErrRange) {
		return nil, pgerror.New(pgerror.NumericOutOfRange, "\"%s\" is out of range for type double precision", trimmed)
	}
	if err != nil {
		return nil, errText(Float8, text)
	}
	if f == 0 && strings.Trim(trimmed, "+-.0eE") != "" {
		return nil, errForm(Float8, text) // may underflow
	}
	return f, nil
}

func parseInet(text string) (Value, error) {
	addr, bits, masked := strings.Cut(text, "/")
	a, err := netip.ParseAddr(addr)
	if err != nil || a.Zone() != "" {
		if strings.Trim(text, "0123456789abcdefABCDEF.:/") == "" && text != "" {
			return nil, errForm(Inet, text) // short forms are taken for some types
		}
		return nil, errText(Inet, text)
	}
	if a.Is6() && (strings.Contains(addr, ".") || strings.HasPrefix(a.String(), "::") && a != netip.IPv6Loopback()) {
		return nil, errForm(Inet, text) // printed in ways of its own
	}
	n := a.BitLen()
	if masked {
		padded := len(bits) > 1 && bits[0] == '0' || strings.HasPrefix(bits, "+")
		if n, err = strconv.Atoi(bits); err != nil || n < 0 || n > a.BitLen() || padded {
			return nil, errText(Inet, text)
		}
	}
	return netip.PrefixFrom(a, n), nil
}
