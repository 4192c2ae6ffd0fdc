package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, written as PostgreSQL writes memory: 512MB, 1.5GB, 1 TB. A number
// without a unit is in megabytes, which is the base unit of wal_keep_size and its relatives.
type Size int64

const (
	mib = 1 << 20
	gib = 1 << 30
)

// unit is one of PostgreSQL's unit names (guc.c: memory_unit_conversion_table and its sibling).
type unit struct {
	name string
	of   float64
}

var sizeUnits = []unit{{"B", 1}, {"kB", 1 << 10}, {"MB", mib}, {"GB", gib}, {"TB", 1 << 40}}

var timeUnits = []unit{
	{"us", float64(time.Microsecond)}, {"ms", float64(time.Millisecond)}, {"s", float64(time.Second)},
	{"min", float64(time.Minute)}, {"h", float64(time.Hour)}, {"d", float64(24 * time.Hour)},
}

// errOutOfRange is a number that no setting could mean.
var errOutOfRange = errors.New("is out of range")

// ParseSize reads a size in PostgreSQL's spelling, such as 16MB. A number without a unit is in MB. A negative one, an
// unknown unit and an overflow are errors.
func ParseSize(text string) (Size, error) {
	v, err := parseUnits(text, sizeUnits, mib, `"B", "kB", "MB", "GB" and "TB"`)
	return Size(v), err
}

// ParseDuration reads a time in PostgreSQL's spelling: 60s, 1min, 500ms. Without a unit it is base.
func ParseDuration(text string, base time.Duration) (time.Duration, error) {
	v, err := parseUnits(text, timeUnits, float64(base), `"us", "ms", "s", "min", "h" and "d"`)
	return time.Duration(v), err
}

func parseUnits(text string, units []unit, base float64, valid string) (int64, error) {
	t := strings.TrimSpace(text)
	i := 0
	for i < len(t) && ('0' <= t[i] && t[i] <= '9' || t[i] == '.') {
		i++
	}
	n, err := strconv.ParseFloat(t[:i], 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number with a unit; valid units are %s", text, valid)
	}
	name, scale := strings.TrimSpace(t[i:]), base
	if name != "" {
		scale = 0
		for _, u := range units {
			if u.name == name {
				scale = u.of
			}
		}
		if scale == 0 {
			return 0, fmt.Errorf("%q has no unit that PostgreSQL knows; valid units are %s", text, valid)
		}
	}
	v := math.Round(n * scale)
	if v >= math.MaxInt64 {
		return 0, fmt.Errorf("%q %w", text, errOutOfRange)
	}
	return int64(v), nil
}

// String prints the largest unit that leaves a whole number, as SHOW does; 0 is "0B".
func (s Size) String() string {
	for i := len(sizeUnits) - 1; i > 0; i-- {
		if of := Size(sizeUnits[i].of); s != 0 && s%of == 0 {
			return strconv.FormatInt(int64(s/of), 10) + sizeUnits[i].name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// AutoSize is a Size, -1 for no limit, or the word auto.
type AutoSize struct {
	Auto bool
	Size Size
}

// String prints "auto" or the size.
func (a AutoSize) String() string {
	if a.Auto {
		return "auto"
	}
	if a.Size < 0 {
		return "-1"
	}
	return a.Size.String()
}

// Share is a part of a volume: percent of it, or a fixed size when Percent is 0.
type Share struct {
	Percent float64
	Size    Size
}

// String prints "10%" or the size.
func (s Share) String() string {
	if s.Percent != 0 {
		return strconv.FormatFloat(s.Percent, 'f', -1, 64) + "%"
	}
	return s.Size.String()
}

// Of returns the number of bytes that the share means on a volume of total bytes.
func (s Share) Of(total int64) int64 {
	if s.Percent != 0 {
		return int64(float64(total) * s.Percent / 100)
	}
	return int64(s.Size)
}

func parseShare(text string) (Share, error) {
	number, percent := strings.CutSuffix(strings.TrimSpace(text), "%")
	if !percent {
		size, err := ParseSize(text)
		return Share{Size: size}, err
	}
	p, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !(p >= 0 && p < 100) {
		return Share{}, fmt.Errorf("%q is not a percentage from 0%% up to, but not including, 100%%", text)
	}
	return Share{Percent: p}, nil
}

// Short prints the size for readers, in two digits or in whole units.
func (s Size) Short() string {
	v, i := float64(s), 0
	for ; v >= 1024 && i < len(shortUnits)-1; i++ {
		v /= 1024
	}
	if i > 0 && v < 10 {
		return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0") + " " + shortUnits[i]
	}
	return fmt.Sprintf("%.0f %s", v, shortUnits[i])
}

var shortUnits = []string{"B", "kB", "MB", "GB", "TB", "PB"}
