package wire

import (
	"bytes"
	"testing"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

func TestErrorRoundTrip(t *testing.T) {
	full := pgerror.Fatal(pgerror.UndefinedObject, "no %s", "x").WithDetail("why").WithHint("do").WithCause(ErrFrame)
	full.Position = 12
	for _, e := range []*pgerror.Error{
		full, pgerror.New(pgerror.SyntaxError, "syntax error"), pgerror.Notice("42622", "cut"),
	} {
		b := AppendError([]byte("before"), e)[len("before"):]
		want := byte('E')
		if e.Severity == pgerror.SeverityNotice {
			want = 'N'
		}
		if b[0] != want || bytes.Contains(b, []byte(ErrFrame.Error())) {
			t.Errorf("frame %q", b)
		}
		got, ok := ParseError(b[headerSize:])
		if !ok || *got != *e.WithCause(nil) {
			t.Errorf("%+v became %+v, %v", e, got, ok)
		}
	}
}

func TestParseErrorOfOthers(t *testing.T) {
	e, ok := ParseError([]byte("SFATAL\x00VFATAL\x00C0A000\x00Mno\x00Fx.c\x00L12\x00Rf\x00\x00"))
	if !ok || e.Code != "0A000" || e.Message != "no" || !e.IsFatal() {
		t.Errorf("%+v, %v", e, ok)
	}
	if e, _ := ParseError([]byte("SFEHLER\x00VERROR\x00C22023\x00\x00")); e.Severity != pgerror.SeverityError {
		t.Errorf("severity %s", e.Severity)
	}
	for _, bad := range []string{"", "\x00", "C22023", "C22023\x00", "Mx\x00\x00"} {
		if e, ok := ParseError([]byte(bad)); ok {
			t.Errorf("%q became %+v", bad, e)
		}
	}
}

func FuzzParseError(f *testing.F) {
	f.Add(AppendError(nil, pgerror.Fatal("57P01", "bye").WithHint("h"))[headerSize:])
	f.Add([]byte("S\x00\x00"))
	f.Fuzz(func(t *testing.T, body []byte) {
		e, ok := ParseError(body)
		if !ok {
			return
		}
		again, ok := ParseError(AppendError(nil, e)[headerSize:])
		if !ok || again.Code != e.Code || again.Message != e.Message || again.Detail != e.Detail || again.Hint != e.Hint {
			t.Fatalf("%+v became %+v", e, again)
		}
	})
}
