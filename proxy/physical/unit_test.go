package physical

import (
	"bytes"
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake"
)

func TestServerVersion(t *testing.T) {
	for text, want := range map[string]grammar.Version{
		"15.18 (Debian 15.18-1.pgdg13+1)": 150018,
		"14.23":                           140023,
		"18.4":                            180004,
		"18beta1":                         180000,
		"19devel":                         190000,
		"17rc1 (vendor)":                  170000,
		"16.3EnterpriseDB":                160003,
		"10":                              100000,
	} {
		if got, err := serverVersion(text); got != want || err != nil {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "x", "9.6.24", "PostgreSQL 15", ".5", "15.99999", "1000.1"} {
		if got, err := serverVersion(text); err == nil {
			t.Errorf("%q: %d", text, got)
		}
	}
}

func TestParseMilliseconds(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"60000": time.Minute, "60s": time.Minute, "1min": time.Minute, " 2 h ": 2 * time.Hour, "1d": 24 * time.Hour,
		"0": 0, "1.5s": 1500 * time.Millisecond, "500us": 0, "2500us": 2 * time.Millisecond, "0x10": 16 * time.Millisecond,
		"010": 8 * time.Millisecond, "5 ms": 5 * time.Millisecond, "1e3": time.Second,
		"0.0004min": 0, "0.51d": 12 * time.Hour, "1.5h": 90 * time.Minute, "0.0085h": time.Minute, // tried on 15 and 18
	} {
		if got, ok := parseMilliseconds(text); got != want || !ok {
			t.Errorf("%q: %v, %v; want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "soon", "-1", "1 week", "5 S", "NaN", "inf", "99999999999", "s"} {
		if got, ok := parseMilliseconds(text); ok {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func FuzzParseMilliseconds(f *testing.F) {
	for _, s := range []string{"60s", "0x1F ms", "1.5 min", "1e9d", "-0", "010"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if d, ok := parseMilliseconds(text); d < 0 || (!ok && d != 0) {
			t.Fatalf("%q: %v, %v", text, d, ok)
		}
	})
}

// The session's own wish wins over the primary's setting, that over the default (trap K51).
func TestWalSenderTimeout(t *testing.T) {
	settings := map[string]string{}
	h := &Handler{o: Options{Settings: func() map[string]string { return settings }}}
	timeout := func(params ...handshake.Param) time.Duration {
		d, _ := (&session{h: h, req: &handshake.Request{Params: params}}).walSenderTimeout()
		return d
	}
	option := handshake.Param{Name: "options", Value: `-c wal_sender_timeout=5s -c x=1`}
	own := handshake.Param{Name: "wal_sender_timeout", Value: "0"}
	if got := timeout(); got != time.Minute {
		t.Errorf("default: %v", got)
	}
	settings["wal_sender_timeout"] = "30s"
	if got := timeout(); got != 30*time.Second {
		t.Errorf("primary's: %v", got)
	}
	if got := timeout(option); got != 5*time.Second {
		t.Errorf("options: %v", got)
	}
	if got := timeout(own, option); got != 0 {
		t.Errorf("parameter beside options: %v", got)
	}
}

func TestQueryText(t *testing.T) {
	if text, err := queryText([]byte("SHOW x\x00")); text != "SHOW x" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	for _, body := range []string{"", "SHOW x", "SHOW\x00x\x00", "\x00\x00"} {
		if text, err := queryText([]byte(body)); err == nil {
			t.Errorf("%q: %q", body, text)
		}
	}
}

// A parameter that is malformed, or one too many, is not remembered.
func TestParametersAreBounded(t *testing.T) {
	s := &session{parameters: map[string]string{}}
	for _, body := range []string{"", "name", "name\x00value", "\x00"} {
		s.parameter([]byte(body))
	}
	if len(s.parameters) != 0 {
		t.Errorf("%q", s.parameters)
	}
	for i := range 3 * maxParameters {
		s.parameter(append([]byte{'a' + byte(i%26), 'a' + byte(i/26)}, "\x00v\x00"...))
	}
	s.parameter([]byte("aa\x00new\x00"))
	if len(s.parameters) != maxParameters || s.parameters["aa"] != "new" {
		t.Errorf("%d parameters, aa=%q", len(s.parameters), s.parameters["aa"])
	}
}

// Where a base backup begins and ends is read of its rows, whatever else it has.
func TestBackupPoints(t *testing.T) {
	row := func(at, timeline string) []byte { return appendDataRow(nil, text(at), text(timeline))[5:] }
	b := newBackup(&grammar.BaseBackup{})
	var begin, end lsn.Point
	for _, m := range []struct {
		typ  byte
		body []byte
	}{
		{'T', nil}, {'D', row("0/3000028", "1")}, {'C', nil}, {'D', row("16384", "/t")}, {'H', nil}, {'d', nil}, {'c', nil},
		{'H', nil}, {'c', nil}, {'D', row("0/4000100", "2")}, {'Z', nil},
	} {
		if b.looksAt(m.typ) {
			from, to := b.hear(m.typ, m.body)
			begin, end = lsn.Point{Timeline: begin.Timeline + from.Timeline, LSN: begin.LSN + from.LSN},
				lsn.Point{Timeline: end.Timeline + to.Timeline, LSN: end.LSN + to.LSN}
		}
	}
	if want := (lsn.Point{Timeline: 1, LSN: 0x3000028}); begin != want {
		t.Errorf("begins at %v", begin)
	}
	if want := (lsn.Point{Timeline: 2, LSN: 0x4000100}); end != want {
		t.Errorf("ends at %v", end)
	}
	if none := newBackup(&grammar.Show{}); none.looksAt('D') {
		t.Error("the answer to SHOW is looked at")
	}
	for _, row := range [][]byte{nil, {0, 2}, {0, 1, 255, 255, 255, 255}, {0, 1, 0, 0, 0, 9, '0', '/', '1'},
		appendDataRow(nil, text("x"), text("1"))[5:], appendDataRow(nil, null())[5:]} {
		if got := backupPoint(row); got != (lsn.Point{}) {
			t.Errorf("% x: %v", row, got)
		}
	}
	h := &Handler{}
	for _, at := range []lsn.LSN{5, 3, 0} {
		if h.learnKnown(at); h.known.Load() != 5 {
			t.Errorf("after %s: %d", at, h.known.Load())
		}
	}
}

func TestCancelRequestBytes(t *testing.T) {
	want := []byte{0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 7, 1, 2, 3, 4}
	if got := cancelRequest(7, []byte{1, 2, 3, 4}); !bytes.Equal(got, want) {
		t.Errorf("% x", got)
	}
}
