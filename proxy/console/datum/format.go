package datum

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// Format returns the text form of a value that is not NULL, times in zone.
func Format(t Type, v Value, zone *time.Location) string {
	switch x := v.(type) {
	case string:
		return x
	case bool:
		if x {
			return "t"
		}
		return "f"
	case int64:
		return strconv.FormatInt(x, 10)
	case float64:
		return formatFloat(x)
	case lsn.LSN:
		return x.String()
	case netip.Prefix:
		if x.IsSingleIP() {
			return x.Addr().String()
		}
		return x.String()
	case Number:
		return x.String()
	case Span:
		return x.String()
	case time.Time:
		return formatTime(x.In(zone))
	}
	panic(fmt.Sprintf("datum: a %T is no value of type %s", v, t))
}

// AsText returns the text to which a value is cast. That of booleans and addresses is not the text form.
func AsText(t Type, v Value, zone *time.Location) string {
	switch x := v.(type) {
	case bool:
		return strconv.FormatBool(x)
	case netip.Prefix:
		return x.String()
	}
	return Format(t, v, zone)
}

// formatFloat returns the shortest digits that give the number again, with an exponent from 1e+15 on.
func formatFloat(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	case math.IsNaN(f):
		return "NaN"
	}
	if abs := math.Abs(f); abs != 0 && (abs < 1e-4 || abs >= 1e15) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

func formatTime(t time.Time) string {
	text := t.Format("2006-01-02 15:04:05") + fraction(int64(t.Nanosecond()/1000))
	_, offset := t.Zone()
	sign := '+'
	if offset < 0 {
		sign, offset = '-', -offset
	}
	text += fmt.Sprintf("%c%02d", sign, offset/3600)
	if offset%3600 != 0 {
		text += fmt.Sprintf(":%02d", offset/60%60)
	}
	if offset%60 != 0 {
		text += fmt.Sprintf(":%02d", offset%60)
	}
	return text
}

// fraction returns microseconds as ".5", without zeros at the end; "" for none.
func fraction(micros int64) string {
	if micros == 0 {
		return ""
	}
	return strings.TrimRight(fmt.Sprintf(".%06d", micros), "0")
}

// String returns the interval as IntervalStyle postgres has it.
func (s Span) String() string {
	var b strings.Builder
	negative := false // the part before was
	part := func(n int32, unit string) {
		if n == 0 {
			return
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
			if negative && n > 0 {
				b.WriteByte('+')
			}
		}
		b.WriteString(strconv.Itoa(int(n)) + " " + unit)
		if n != 1 {
			b.WriteByte('s')
		}
		negative = n < 0
	}
	part(s.Months/12, "year")
	part(s.Months%12, "mon")
	part(s.Days, "day")
	if s.Micros == 0 && b.Len() > 0 {
		return b.String()
	}
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	micros := uint64(s.Micros)
	switch {
	case s.Micros < 0:
		micros = -micros
		b.WriteByte('-')
	case negative:
		b.WriteByte('+')
	}
	seconds := micros / 1e6
	fmt.Fprintf(&b, "%02d:%02d:%02d%s", seconds/3600, seconds/60%60, seconds%60, fraction(int64(micros%1e6)))
	return b.String()
}
