package datum_test

import (
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/proxy/console/datum"
)

// TestForms: a value's text form, and that its binary form brings it back. Servers are asked by TestDifferential.
func TestForms(t *testing.T) {
	for _, c := range []struct {
		typ        datum.Type
		text, want string
	}{
		{datum.Bool, " Yes ", "t"},
		{datum.Bool, "of", "f"},
		{datum.Int4, "-2147483648", "-2147483648"},
		{datum.Int8, "9223372036854775807", "9223372036854775807"},
		{datum.OID, "4294967295", "4294967295"},
		{datum.Xid, "700", "700"},
		{datum.Text, "ä\n", "ä\n"},
		{datum.Name, "0123456789012345678901234567890123456789012345678901234567890ää", "0123456789012345678901234567890123456789012345678901234567890ä"},
		{datum.LSN, "16/b374d848", "16/B374D848"},
		{datum.Inet, "10.0.0.1", "10.0.0.1"},
		{datum.Inet, "2001:db8::/32", "2001:db8::/32"},
		{datum.Float8, "1e15", "1e+15"},
		{datum.Float8, "-0.1", "-0.1"},
		{datum.Numeric, "-0012.3400", "-12.3400"},
		{datum.Numeric, "1e-3", "0.001"},
		{datum.Numeric, "123456789012345678901234567890", "123456789012345678901234567890"},
		{datum.Numeric, "0.00000001", "0.00000001"},
		{datum.Numeric, "10000", "10000"},
		{datum.Timestamptz, "2026-08-01 12:00:00.5+02", "2026-08-01 10:00:00.5+00"},
		{datum.Timestamptz, "1999-12-31", "1999-12-31 00:00:00+00"},
		{datum.Interval, "1 year 2 mons -3 days +04:05:06.7", "1 year 2 mons -3 days +04:05:06.7"},
		{datum.Interval, "-00:00:00.5", "-00:00:00.5"},
		{datum.Interval, "0", ""},
	} {
		v, err := datum.Parse(c.typ, c.text, time.UTC)
		if c.want == "" {
			if !pgerror.HasCode(err, pgerror.FeatureNotSupported) {
				t.Errorf("%s %q: %v, %v", c.typ, c.text, v, err)
			}
			continue
		}
		if err != nil || datum.Format(c.typ, v, time.UTC) != c.want {
			t.Errorf("%s %q: %v, %v", c.typ, c.text, v, err)
			continue
		}
		b := datum.AppendBinary([]byte{}, c.typ, v)
		if size := c.typ.Size(); size > 0 && c.typ != datum.Name && len(b) != int(size) {
			t.Errorf("%s: %d bytes", c.typ, len(b))
		}
		if back, err := datum.ParseBinary(c.typ, b); err != nil || datum.Format(c.typ, back, time.UTC) != c.want || datum.Compare(v, back) != 0 {
			t.Errorf("%s %q: came back as %v, %v", c.typ, c.text, back, err)
		}
	}
}

// FuzzParse: any text and any bytes are a value that can be shown in both forms, or an error of PostgreSQL's kind.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"1", "-1.5e3", "0/0", "10.0.0.1/8", "fe80::1", "1 day 02:00:00", "2026-01-01 00:00:00+00", "t", "\x00\x01\x00\x00\x00\x00\x00\x02\x04\xd2"} {
		f.Add(uint16(0), s)
	}
	types := []datum.Type{datum.Bool, datum.Name, datum.Int8, datum.Int4, datum.Text, datum.OID, datum.Xid, datum.Float8, datum.Inet,
		datum.Timestamptz, datum.Interval, datum.Numeric, datum.LSN}
	f.Fuzz(func(t *testing.T, n uint16, text string) {
		typ := types[int(n)%len(types)]
		for _, parse := range []func() (datum.Value, error){
			func() (datum.Value, error) { return datum.Parse(typ, text, time.UTC) },
			func() (datum.Value, error) { return datum.ParseBinary(typ, []byte(text)) },
		} {
			v, err := parse()
			if err != nil {
				if pgerror.From(err).Unwrap() != nil {
					t.Fatal(err)
				}
				continue
			}
			shown := datum.Format(typ, v, time.UTC)
			back, err := datum.ParseBinary(typ, datum.AppendBinary(nil, typ, v))
			if !pgerror.HasCode(err, pgerror.FeatureNotSupported, pgerror.NotInRepertoire) && (err != nil || datum.Format(typ, back, time.UTC) != shown) {
				t.Fatalf("%s %q came back as %v, %v", typ, shown, back, err)
			}
		}
	})
}
