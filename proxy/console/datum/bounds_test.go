package datum_test

import (
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/proxy/console/datum"
)

// TestFarTimes: a time that int64 cannot count in microseconds is out of range, and not another time.
func TestFarTimes(t *testing.T) {
	at := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	for _, s := range []datum.Span{
		{Months: 584_542 * 12}, {Days: 1<<31 - 1}, {Micros: 1<<63 - 1}, {Months: 584_542 * 12, Micros: -1 << 62}, {Months: -1 << 31},
	} {
		if got, err := datum.After(at, s, time.UTC); !pgerror.HasCode(err, pgerror.DatetimeOverflow) {
			t.Errorf("%+v: %v, %v", s, got, err)
		}
	}
	got, err := datum.After(at, datum.Span{Months: 12, Days: 1, Micros: -1}, time.UTC)
	if want := time.Date(2027, 8, 2, 11, 59, 59, 999_999_000, time.UTC); err != nil || !got.Equal(want) {
		t.Errorf("%v, %v", got, err)
	}
}

// TestLongNumbers: numbers have PostgreSQL's bounds.
func TestLongNumbers(t *testing.T) {
	number := func(text string) datum.Number {
		v, err := datum.Parse(datum.Numeric, text, time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		return v.(datum.Number)
	}
	times := func(n datum.Number, count int) (datum.Number, error) {
		out, err := n, error(nil)
		for range count - 1 {
			if out, err = out.Calculate("*", n); err != nil {
				break
			}
		}
		return out, err
	}
	if n, err := times(number("1."+strings.Repeat("0", 900)), 20); err != nil || n.Scale != 16383 {
		t.Errorf("scale %d, %v", n.Scale, err)
	}
	big := number("1" + strings.Repeat("0", 992)) // 132 of them have 130945 digits, 133 have 131937
	if _, err := times(big, 132); err != nil {
		t.Error(err)
	}
	if _, err := times(big, 133); !pgerror.HasCode(err, pgerror.NumericOutOfRange) {
		t.Error(err)
	}
	small, err := times(number("1."+strings.Repeat("0", 900)), 2)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := small.Calculate("/", number("3")); err != nil || n.Scale != 1000 {
		t.Errorf("scale %d, %v", n.Scale, err)
	}
}
