package grammar

import (
	"math"
	"strconv"
	"strings"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

func (c *BaseBackup) setCompression(o option) *pgerror.Error {
	s, err := o.str()
	if err != nil {
		return err
	}
	switch s {
	case "none", "gzip", "lz4", "zstd":
		c.Compression = &s
		return nil
	}
	return syntaxf("unrecognized compression algorithm: \"%s\"", s)
}

// checkCompression reads the detail for the algorithm. A server that was built without the algorithm
// refuses it earlier, which only that server can know.
func (c *BaseBackup) checkCompression(v Version) *pgerror.Error {
	if c.Compression == nil {
		if c.CompressionDetail != nil {
			return syntaxf("compression detail cannot be specified unless compression is enabled")
		}
		return nil
	}
	spec := compressionSpec{algorithm: *c.Compression, level: defaultLevel(*c.Compression)}
	msg := ""
	if c.CompressionDetail != nil {
		msg = spec.parse(*c.CompressionDetail, v)
	}
	if msg == "" {
		msg = spec.check()
	}
	if msg != "" {
		return syntaxf("invalid compression specification: %s", msg)
	}
	return nil
}

// compressionSpec is a compression detail: a bare level, or keywords with values.
type compressionSpec struct {
	algorithm           string
	level               int32
	hasWorkers, hasLong bool
}

// levelRange returns the levels that the algorithm accepts; zstd's are those of libzstd 1.5. Any other algorithm,
// "none" included, has the level 1 only, and byDefault 0.
func levelRange(algorithm string) (least, most, byDefault int32) {
	switch algorithm {
	case "gzip":
		return 1, 9, -1
	case "lz4":
		return 1, 12, 0
	case "zstd":
		return -(1 << 17), 22, 3
	}
	return 1, 1, 0
}

func defaultLevel(algorithm string) int32 {
	_, _, byDefault := levelRange(algorithm)
	return byDefault
}

// parse reads a detail; its result is PostgreSQL's complaint, empty if there is none.
func (s *compressionSpec) parse(detail string, v Version) string {
	if n, ok := parseCInt(detail); ok {
		s.level = n
		return ""
	}
	for rest, more := detail, true; more; {
		var entry string
		entry, rest, more = strings.Cut(rest, ",")
		if msg := s.entry(entry, v); msg != "" {
			return msg
		}
	}
	return ""
}

func (s *compressionSpec) entry(entry string, v Version) string {
	key, value, hasValue := strings.Cut(entry, "=")
	switch {
	case key == "":
		return "found empty string where a compression option was expected"
	case key == "long" && v.Major() >= 16:
		s.hasLong = true
		return checkLong(value, hasValue)
	case key != "level" && key != "workers":
		return `unrecognized compression option: "` + key + `"`
	case !hasValue:
		return `compression option "` + key + `" requires a value`
	}
	n, ok := parseCInt(value)
	if !ok {
		return `value for compression option "` + key + `" must be an integer`
	}
	if key == "level" {
		s.level = n
	} else {
		s.hasWorkers = true
	}
	return ""
}

func checkLong(value string, hasValue bool) string {
	switch lower(value) {
	case "yes", "on", "1", "no", "off", "0":
		return ""
	}
	if !hasValue {
		return ""
	}
	return `value for compression option "long" must be a Boolean value`
}

// check returns why the options do not suit the algorithm, in PostgreSQL's words; "" when they do.
func (s *compressionSpec) check() string {
	quoted := `compression algorithm "` + s.algorithm + `"`
	if msg := s.checkLevel(quoted); msg != "" {
		return msg
	}
	switch {
	case s.hasWorkers && s.algorithm != "zstd":
		return quoted + " does not accept a worker count"
	case s.hasLong && s.algorithm != "zstd":
		return quoted + " does not support long-distance mode"
	}
	return ""
}

// parseCInt reads a whole string as C's strtol does: leading blanks and a sign are allowed, the value
// saturates at 64 bits and its low 32 bits remain.
func parseCInt(s string) (int32, bool) {
	s = strings.TrimLeft(s, " \t\n\v\f\r")
	negative := strings.HasPrefix(s, "-")
	if negative || strings.HasPrefix(s, "+") {
		s = s[1:]
	}
	if s == "" || span(s, isDigit) != len(s) {
		return 0, false
	}
	var n uint64
	limit := uint64(math.MaxInt64)
	if negative {
		limit++
	}
	for i := 0; i < len(s); i++ {
		d := uint64(s[i] - '0')
		if n > (limit-d)/10 {
			n = limit
			break
		}
		n = n*10 + d
	}
	if negative {
		n = -n
	}
	return int32(uint32(n)), true
}

func (s *compressionSpec) checkLevel(quoted string) string {
	least, most, byDefault := levelRange(s.algorithm)
	switch {
	case s.algorithm == "none" && s.level != 0:
		return quoted + " does not accept a compression level"
	case s.level >= least && s.level <= most || s.level == byDefault:
		return ""
	}
	return quoted + " expects a compression level between " + itoa(least) + " and " + itoa(most) +
		" (default at " + itoa(byDefault) + ")"
}

func itoa(n int32) string { return strconv.Itoa(int(n)) }
