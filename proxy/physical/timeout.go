package physical

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// walSenderTimeout returns the wal_sender_timeout of a session: what its startup packet asks for, what the primary
// has, or PostgreSQL's default (trap K51). 0 is none. own: it is the packet's.
func (s *session) walSenderTimeout() (timeout time.Duration, own bool) {
	if text, ok := s.req.Setting("wal_sender_timeout"); ok {
		if d, ok := parseMilliseconds(text); ok {
			return d, true
		}
	}
	if d, ok := parseMilliseconds(s.h.o.Settings()["wal_sender_timeout"]); ok {
		return d, false
	}
	return DefaultWalSenderTimeout, false
}

// units has for each unit its milliseconds, and those of the next smaller unit, to which fractions are rounded.
var units = map[string]struct{ scale, to float64 }{
	"": {1, 1}, "us": {1e-3, 1}, "ms": {1, 1}, "s": {1e3, 1}, "min": {60e3, 1e3}, "h": {3600e3, 60e3},
	"d": {86400e3, 3600e3},
}

// parseMilliseconds reads an integer setting whose unit is ms as PostgreSQL does: a whole number
// (decimal, 0x or 0 octal) or a fraction, blanks, a unit; rounded. The primary has
// accepted the text before, so what is not understood here is left to the default.
func parseMilliseconds(text string) (time.Duration, bool) {
	text = strings.TrimSpace(text)
	end := strings.IndexFunc(text, func(r rune) bool { return r == ' ' || r == '\t' || isUnitStart(text, r) })
	if end < 0 {
		end = len(text)
	}
	number, unit := text[:end], strings.TrimSpace(text[end:])
	in, ok := units[unit]
	if !ok {
		return 0, false
	}
	v, err := strconv.ParseFloat(number, 64)
	if n, ierr := strconv.ParseInt(number, 0, 64); ierr == nil {
		v, err = float64(n), nil
	}
	if v = math.RoundToEven(v*in.scale/in.to) * in.to; err != nil || !(v >= 0 && v <= math.MaxInt32) {
		return 0, false
	}
	return time.Duration(v) * time.Millisecond, true
}

// isUnitStart tells a unit's first letter from a hexadecimal digit.
func isUnitStart(text string, r rune) bool {
	if strings.HasPrefix(strings.ToLower(text), "0x") {
		return false // no server prints one, and a unit behind it is nobody's habit
	}
	return r >= 'a' && r <= 'z' && r != 'e'
}
