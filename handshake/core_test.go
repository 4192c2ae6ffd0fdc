package handshake

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

func TestReplicationValues(t *testing.T) {
	const bad Class = 0
	for _, tc := range []struct {
		values []string
		want   Class
	}{
		{nil, Regular},
		{[]string{"database"}, LogicalWalsender},
		{[]string{"true"}, PhysicalWalsender},
		{[]string{"t"}, PhysicalWalsender},
		{[]string{"TRU"}, PhysicalWalsender},
		{[]string{"yes"}, PhysicalWalsender},
		{[]string{"Y"}, PhysicalWalsender},
		{[]string{"on"}, PhysicalWalsender},
		{[]string{"ON"}, PhysicalWalsender},
		{[]string{"1"}, PhysicalWalsender},
		{[]string{"false"}, Regular},
		{[]string{"f"}, Regular},
		{[]string{"no"}, Regular},
		{[]string{"n"}, Regular},
		{[]string{"off"}, Regular},
		{[]string{"of"}, Regular},
		{[]string{"0"}, Regular},
		{[]string{"o"}, bad},
		{[]string{""}, bad},
		{[]string{"2"}, bad},
		{[]string{"10"}, bad},
		{[]string{"Database"}, bad},
		{[]string{"true "}, bad},
		{[]string{" true"}, bad},
		{[]string{"truee"}, bad},
		{[]string{"onn"}, bad},
		{[]string{"database", "true"}, LogicalWalsender},
		{[]string{"true", "database"}, LogicalWalsender},
		{[]string{"database", "false"}, Regular},
		{[]string{"false", "true"}, PhysicalWalsender},
		{[]string{"true", "false"}, Regular},
		{[]string{"database", "2"}, bad},
	} {
		t.Run(strings.Join(tc.values, "+"), func(t *testing.T) {
			words := []string{"user", "u"}
			for _, v := range tc.values {
				words = append(words, "replication", v)
			}
			d := (&Core{}).Step(startup(v30, words...))
			if tc.want == bad {
				last := tc.values[len(tc.values)-1]
				e := refusal(t, d)
				if e.Code != "22023" || e.Message != `invalid value for parameter "replication": "`+last+`"` ||
					e.Hint != `Valid values are: "false", 0, "true", 1, "database".` {
					t.Fatalf("refused with %+v", e)
				}
				return
			}
			if d.Accept == nil || d.Accept.Class != tc.want {
				t.Fatalf("decision %+v, want class %s", d, tc.want)
			}
		})
	}
}

func refusal(t *testing.T, d Decision) *pgerror.Error {
	t.Helper()
	if d.Refuse == nil || d.Accept != nil || d.Continue {
		t.Fatalf("decision %+v, want a refusal", d)
	}
	if !d.Refuse.Err.IsFatal() {
		t.Fatalf("%v is not FATAL", d.Refuse.Err)
	}
	return d.Refuse.Err
}

func TestRefusals(t *testing.T) {
	layout := "invalid startup packet layout: expected terminator as last byte"
	noUser := "no PostgreSQL user name specified in startup packet"
	for _, tc := range []struct {
		name      string
		packet    []byte
		code      pgerror.Code
		message   string
		v2        bool
		negotiate *Negotiate
	}{
		{"no user", startup(v30, "database", "d"), "28000", noUser, false, nil},
		{"empty user", startup(v30, "user", ""), "28000", noUser, false, nil},
		{"last user empty", startup(v30, "user", "u", "user", ""), "28000", noUser, false, nil},
		{"nothing at all", packet(v30, "\x00"), "28000", noUser, false, nil},
		{"no user, newer minor", startup(3<<16|7, "x", "y"), "28000", noUser, false, &Negotiate{Version: v32}},
		{"no user, protocol option", startup(v30, "_pq_.a", "b"), "28000", noUser, false,
			&Negotiate{Version: v30, Options: []string{"_pq_.a"}}},
		{"no terminator", packet(v30, "user\x00u\x00"), "08P01", layout, false, nil},
		{"empty body", packet(v30, ""), "08P01", layout, false, nil},
		{"bytes behind", packet(v30, "user\x00u\x00\x00\x00"), "08P01", layout, false, nil},
		{"no value", packet(v30, "user\x00u\x00name\x00"), "08P01", layout, false, nil},
		{"protocol 2", startup(2<<16, "user", "u"), "0A000",
			"unsupported frontend protocol 2.0: server supports 3.0 to 3.2", true, nil},
		{"protocol 4", startup(4<<16, "user", "u"), "0A000",
			"unsupported frontend protocol 4.0: server supports 3.0 to 3.2", false, nil},
		{"protocol 0", packet(0, ""), "0A000",
			"unsupported frontend protocol 0.0: server supports 3.0 to 3.2", false, nil},
		{"protocol 0.1", packet(1, ""), "0A000",
			"unsupported frontend protocol 0.1: server supports 3.0 to 3.2", true, nil},
		{"other request", packet(1234<<16|5681, ""), "0A000",
			"unsupported frontend protocol 1234.5681: server supports 3.0 to 3.2", false, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := (&Core{NewestMinor: 2}).Step(tc.packet)
			e := refusal(t, d)
			if e.Code != tc.code || e.Message != tc.message || d.Refuse.V2 != tc.v2 {
				t.Fatalf("refused with %v (v2 %v)", e, d.Refuse.V2)
			}
			n := d.Refuse.Negotiate
			if (n == nil) != (tc.negotiate == nil) || n != nil &&
				(n.Version != tc.negotiate.Version || strings.Join(n.Options, " ") != strings.Join(tc.negotiate.Options, " ")) {
				t.Fatalf("negotiates %+v, want %+v", n, tc.negotiate)
			}
		})
	}
}

// A walsender's database is nobody's business, an absent one is the user's name, long names are cut.
func TestNames(t *testing.T) {
	long := strings.Repeat("x", 70)
	for _, tc := range []struct {
		words          []string
		user, database string
	}{
		{[]string{"user", "u"}, "u", "u"},
		{[]string{"user", "u", "database", ""}, "u", "u"},
		{[]string{"user", "u", "database", "d"}, "u", "d"},
		{[]string{"user", "u", "database", "d", "replication", "on"}, "u", ""},
		{[]string{"user", "u", "database", "d", "replication", "database"}, "u", "d"},
		{[]string{"user", "a", "user", "b"}, "b", "b"},
		{[]string{"user", long, "database", long}, long[:63], long[:63]},
	} {
		r := (&Core{}).Step(startup(v30, tc.words...)).Accept
		if r == nil || r.User() != tc.user || r.Database() != tc.database {
			t.Errorf("%q: %+v", tc.words, r)
		}
	}
}

func TestEncryptionRequests(t *testing.T) {
	ssl, gss, ok := packet(codeSSL, ""), packet(codeGSSENC, ""), startup(v30, "user", "u")
	for _, tc := range []struct {
		name    string
		packets [][]byte
		want    string // y for Continue, a for Accept, r for Refuse
	}{
		{"ssl then startup", [][]byte{ssl, ok}, "ya"},
		{"gss then startup", [][]byte{gss, ok}, "ya"},
		{"gss then ssl then startup", [][]byte{gss, ssl, ok}, "yya"},
		{"ssl twice", [][]byte{ssl, ssl}, "yr"},
		{"gss twice", [][]byte{gss, gss}, "yr"},
		{"ssl gss ssl", [][]byte{ssl, gss, ssl}, "yyr"},
		{"ssl then cancel", [][]byte{ssl, packet(codeCancel, "\x00\x00\x00\x01keys")}, "ya"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			core, got := &Core{}, ""
			var last Decision
			for _, p := range tc.packets {
				last = core.Step(p)
				got += map[bool]string{last.Continue: "y", last.Accept != nil: "a", last.Refuse != nil: "r"}[true]
			}
			if got != tc.want {
				t.Fatalf("decisions %s, want %s", got, tc.want)
			}
			if a := last.Accept; a != nil && !a.SawSSLRequest && !a.SawGSSENCRequest {
				t.Fatal("the request forgot what came before it")
			}
		})
	}
}

func TestCancelRequest(t *testing.T) {
	for n := range 300 {
		key := bytes.Repeat([]byte{7}, n)
		d := (&Core{}).Step(packet(codeCancel, "\x00\x00\x01\x02"+string(key)))
		if n < 4 || n > 256 {
			if !errors.Is(d.Drop, ErrLength) {
				t.Fatalf("key of %d bytes: %+v", n, d)
			}
			continue
		}
		if r := d.Accept; r == nil || r.Class != Cancel || r.CancelPID != 258 || !bytes.Equal(r.CancelKey, key) {
			t.Fatalf("key of %d bytes: %+v", n, d)
		}
	}
	if d := (&Core{}).Step(packet(codeCancel, "")); !errors.Is(d.Drop, ErrLength) {
		t.Fatalf("no pid: %+v", d)
	}
}

func FuzzStep(f *testing.F) {
	for _, p := range [][]byte{
		startup(v30, "user", "u", "database", "d", "replication", "true"), startup(v32, "user", "u", "_pq_.x", "1"),
		packet(codeSSL, ""), packet(codeGSSENC, ""), packet(codeCancel, "\x00\x00\x00\x01keys"), startup(2<<16, "user", "u"),
		packet(v30, "user\x00u\x00x"), packet(v30, ""), packet(v30, "user\x00u"),
	} {
		f.Add(p[4:])
	}
	f.Fuzz(func(t *testing.T, rest []byte) {
		if len(rest) < minBody || len(rest) > maxBody {
			return
		}
		p := append(binary.BigEndian.AppendUint32(nil, uint32(len(rest)+4)), rest...)
		d := (&Core{NewestMinor: 2}).Step(bytes.Clone(p))
		set := 0
		for _, is := range []bool{d.Continue, d.Accept != nil, d.Refuse != nil, d.Drop != nil} {
			if is {
				set++
			}
		}
		if set != 1 {
			t.Fatalf("%d decisions for %q", set, p)
		}
		r := d.Accept
		if r == nil || r.Class == Cancel {
			return
		}
		if !bytes.Equal(r.Raw, p) || r.User() == "" {
			t.Fatalf("accepted %q as %q of %q", p, r.Raw, r.User())
		}
		// What was understood, written out again, is what was sent; a last name of one byte, which
		// PostgreSQL takes for a terminator, is the one exception.
		words := []string{}
		for _, param := range r.Params {
			words = append(words, param.Name, param.Value)
		}
		again := startup(uint32(r.Major)<<16|uint32(r.Minor), words...)
		if p[len(p)-1] != 0 {
			again[len(again)-1] = p[len(p)-1]
		}
		if !bytes.Equal(again, p) {
			t.Fatalf("%q became %q", p, again)
		}
		r.Setting("wal_sender_timeout")
	})
}
