package datum

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

const (
	microsPerDay   = 24 * 60 * 60 * 1e6
	daysPerMonth   = 30
	hoursPerYear   = 8766 // 365.25 days
	monthsPerYear  = 12
	secondsPerHour = 3600
)

// timeForm is an ISO date, with a time of day and an offset or not.
var timeForm = regexp.MustCompile(`^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)` +
	` ?(Z|[+-]\d\d(?::?\d\d)?)?)?$`)

func parseTime(text, trimmed string, zone *time.Location) (Value, error) {
	m := timeForm.FindStringSubmatch(trimmed)
	if m == nil || m[3] == "" && zone != time.UTC {
		return nil, errForm(Timestamptz, text)
	}
	clock := m[2]
	if len(clock) < len("00:00:00") {
		clock = (clock + "00:00:00")[:len("00:00")] + ":00"
	}
	if m[2] == "" {
		clock = "00:00:00"
	}
	offset := strings.ReplaceAll(m[3], ":", "")
	switch len(offset) {
	case 0, 1:
		offset = "+0000"
	case 3:
		offset += "00"
	}
	t, err := time.Parse("2006-01-02 15:04:05-0700", m[1]+" "+clock+offset)
	if err != nil || t.Year() < 1 {
		return nil, errForm(Timestamptz, text) // the 31st of February, and the second 60, which PostgreSQL takes
	}
	return t.UTC(), nil
}

var (
	spanForm = regexp.MustCompile(`^(?:([+-]?\d{1,6}) *([a-z]+)|` +
		`([+-]?)(\d{1,4}):(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?)(?: +|$)`)
	spanUnits = regexp.MustCompile(`^(?:(y|years?)|(mons?|months?)|(w|weeks?)|(d|days?)|` +
		`(h|hours?)|(m|mins?|minutes?)|(s|secs?|seconds?))$`)
)

// parseSpan reads whole numbers of units, and a time of day behind them.
func parseSpan(text string) (Value, error) {
	var s Span
	rest, seen := strings.ToLower(strings.Trim(text, spaces)), map[int]bool{}
	if rest == "" {
		return nil, pgerror.New(pgerror.InvalidDatetime, "invalid input syntax for type interval: \"%s\"", text)
	}
	for rest != "" {
		m := spanForm.FindStringSubmatch(rest)
		if m == nil {
			return nil, errForm(Interval, text)
		}
		rest = rest[len(m[0]):]
		if m[2] == "" {
			twice := seen[5] || seen[6] || seen[7] || rest != ""
			unclear := m[3] == "" && strings.Contains(text, "-") // whose sign is it?
			if twice || unclear || m[5] > "59" || m[6] > "59" {
				return nil, errForm(Interval, text)
			}
			s.Micros += clockMicros(m)
			continue
		}
		n, _ := strconv.ParseInt(m[1], 10, 64)
		unit := 0
		for i, u := range spanUnits.FindStringSubmatch(m[2]) {
			if i > 0 && u != "" {
				unit = i
			}
		}
		if unit == 0 || seen[unit] {
			return nil, errForm(Interval, text)
		}
		seen[unit] = true
		switch unit {
		case 1:
			s.Months += int32(n) * monthsPerYear
		case 2:
			s.Months += int32(n)
		case 3:
			s.Days += int32(n) * 7
		case 4:
			s.Days += int32(n)
		case 5:
			s.Micros += n * secondsPerHour * 1e6
		case 6:
			s.Micros += n * 60 * 1e6
		case 7:
			s.Micros += n * 1e6
		}
	}
	return s, nil
}

func clockMicros(m []string) int64 {
	n := func(text string) int64 { v, _ := strconv.ParseInt("0"+text, 10, 64); return v }
	micros := ((n(m[4])*60+n(m[5]))*60+n(m[6]))*1e6 + n((m[7] + "000000")[:6])
	if m[3] == "-" {
		return -micros
	}
	return micros
}

// Since returns t - u as PostgreSQL does: days of 24 hours, and the rest.
func Since(t, u time.Time) Span {
	micros := t.UnixMicro() - u.UnixMicro()
	return Span{Days: int32(micros / microsPerDay), Micros: micros % microsPerDay}
}

// total returns the length in microseconds, with months of 30 days. Intervals are compared by it.
func (s Span) total() Number {
	n := Whole(int64(s.Months)*daysPerMonth + int64(s.Days))
	n.Digits.Mul(n.Digits, Whole(microsPerDay).Digits)
	n.Digits.Add(n.Digits, Whole(s.Micros).Digits)
	return n
}

// Epoch returns the seconds of the interval: those of years by 365.25 days.
func (s Span) Epoch() Number {
	hours := int64(s.Months/monthsPerYear)*hoursPerYear + (int64(s.Months%monthsPerYear)*daysPerMonth+int64(s.Days))*24
	n := Whole(hours * secondsPerHour)
	n.Digits.Mul(n.Digits, Whole(1e6).Digits)
	n.Digits.Add(n.Digits, Whole(s.Micros).Digits)
	return Number{n.Digits, 6}
}

// Plus returns the sum of two intervals, field by field.
func (s Span) Plus(o Span) (Span, error) {
	months, days := int64(s.Months)+int64(o.Months), int64(s.Days)+int64(o.Days)
	micros := s.Micros + o.Micros
	if months != int64(int32(months)) || days != int64(int32(days)) || (micros > s.Micros) != (o.Micros > 0) {
		return Span{}, pgerror.New(pgerror.DatetimeOverflow, "interval out of range")
	}
	return Span{int32(months), int32(days), micros}, nil
}

// Minus returns the interval with each field negated.
func (s Span) Minus() (Span, error) {
	if s.Months == math.MinInt32 || s.Days == math.MinInt32 || s.Micros == math.MinInt64 {
		return Span{}, pgerror.New(pgerror.DatetimeOverflow, "interval out of range")
	}
	return Span{-s.Months, -s.Days, -s.Micros}, nil
}

// After returns t + s, days and months by the calendar of zone, which is UTC unless s has neither.
func After(t time.Time, s Span, zone *time.Location) (time.Time, error) {
	if zone != time.UTC && (s.Months != 0 || s.Days != 0) {
		return t, pgerror.New(pgerror.FeatureNotSupported,
			"days and months of a time zone other than UTC are not supported by the console of replproxy")
	}
	u := t.UTC()
	if s.Months != 0 {
		y, m := u.Year(), int(u.Month())-1+int(s.Months)
		first := time.Date(y, time.Month(m+1), 1, u.Hour(), u.Minute(), u.Second(), u.Nanosecond(), time.UTC)
		last := first.AddDate(0, 1, -1).Day()
		u = first.AddDate(0, 0, min(u.Day(), last)-1)
	}
	u = u.AddDate(0, 0, int(s.Days))
	u = time.Unix(u.Unix()+s.Micros/1e6, int64(u.Nanosecond())+s.Micros%1e6*1e3).UTC() // int64 holds no such µs
	if u.Year() < 1 || u.Year() > 9999 {
		return u, pgerror.New(pgerror.DatetimeOverflow, "timestamp out of range")
	}
	return u, nil
}
