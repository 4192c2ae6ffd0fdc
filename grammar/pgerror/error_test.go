package pgerror_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

func TestConstructors(t *testing.T) {
	for _, c := range []struct {
		err      *pgerror.Error
		severity pgerror.Severity
		fatal    bool
	}{
		{pgerror.New(pgerror.ObjectInUse, "slot %q", "s"), pgerror.SeverityError, false},
		{pgerror.Fatal(pgerror.ObjectInUse, "slot %q", "s"), pgerror.SeverityFatal, true},
		{pgerror.Notice(pgerror.ObjectInUse, "slot %q", "s"), pgerror.SeverityNotice, false},
	} {
		if c.err.Severity != c.severity || c.err.IsFatal() != c.fatal || c.err.Message != `slot "s"` ||
			c.err.Code != "55006" {
			t.Errorf("%+v", c.err)
		}
		if got := c.err.Error(); got != `slot "s" (SQLSTATE 55006)` {
			t.Errorf("%s", got)
		}
	}
}

// TestWithCopies: an Error is shared between sessions, so nothing may change it.
func TestWithCopies(t *testing.T) {
	base := pgerror.New(pgerror.UndefinedObject, "m")
	before := *base
	full := base.WithDetail("d %d", 1).WithHint("h %d", 2).WithCause(io.EOF).AsFatal()
	if *base != before {
		t.Errorf("changed: %+v", base)
	}
	if full.Detail != "d 1" || full.Hint != "h 2" || !full.IsFatal() || full.Message != "m" ||
		full.Code != pgerror.UndefinedObject || !errors.Is(full, io.EOF) {
		t.Errorf("%+v", full)
	}
	if got := full.Error(); got != "m (SQLSTATE 42704): EOF" {
		t.Errorf("%s", got)
	}
	if got := base.WithCause(errors.New("m")).Error(); got != "m (SQLSTATE 42704)" { // that says nothing more
		t.Errorf("%s", got)
	}
	if errors.Unwrap(base) != nil {
		t.Errorf("a cause from nowhere: %v", errors.Unwrap(base))
	}
}

func TestIs(t *testing.T) {
	err := fmt.Errorf("start stream: %w", pgerror.New(pgerror.ObjectInUse, "busy").WithDetail("d"))
	for target, want := range map[error]bool{
		pgerror.New(pgerror.ObjectInUse, "busy"):     true,
		pgerror.Fatal(pgerror.ObjectInUse, "busy"):   true,
		pgerror.New(pgerror.ObjectInUse, "busier"):   false,
		pgerror.New(pgerror.UndefinedObject, "busy"): false,
		io.EOF: false,
	} {
		if errors.Is(err, target) != want {
			t.Errorf("is %v: %v", target, !want)
		}
	}
}

func TestFrom(t *testing.T) {
	if got := pgerror.From(nil); got != nil {
		t.Errorf("nil became %v", got)
	}
	known := pgerror.Fatal(pgerror.AdminShutdown, "bye")
	if got := pgerror.From(fmt.Errorf("a: %w", errors.Join(io.EOF, known))); got != known {
		t.Errorf("%v", got)
	}
	secret := errors.New("open /var/lib/secret: password hunter2")
	got := pgerror.From(fmt.Errorf("read: %w", secret))
	if got.Code != pgerror.InternalError || got.Severity != pgerror.SeverityError || !errors.Is(got, secret) {
		t.Errorf("%+v", got)
	}
	if sent := got.Message + got.Detail + got.Hint; sent != "internal error in replproxy"+
		"The replproxy log names the cause." {
		t.Errorf("a peer would read %q", sent)
	}
}

func TestDescribe(t *testing.T) {
	full := pgerror.New(pgerror.ObjectInUse, "m").WithDetail("d").WithHint("h")
	for _, c := range []struct {
		err  error
		want string
	}{
		{io.EOF, "EOF"},
		{pgerror.New(pgerror.ObjectInUse, "m"), "m (SQLSTATE 55006)"},
		{full, "m (SQLSTATE 55006); DETAIL: d; HINT: h"},
		{fmt.Errorf("stream WAL: %w", full), "stream WAL: m (SQLSTATE 55006); DETAIL: d; HINT: h"},
		{fmt.Errorf("a: %w; %w", full, io.EOF), "a: m (SQLSTATE 55006); DETAIL: d; HINT: h; EOF"},
		{fmt.Errorf("%w; a: %w; b: %w", io.EOF, full, full),
			"EOF; a: m (SQLSTATE 55006); DETAIL: d; HINT: h; b: m (SQLSTATE 55006); DETAIL: d; HINT: h"},
		{fmt.Errorf("%w: more", full), "m (SQLSTATE 55006): more; DETAIL: d; HINT: h"},
		{fmt.Errorf("a: %w; b", pgerror.New(pgerror.ObjectInUse, "m").WithHint("h").WithCause(full)),
			"a: m (SQLSTATE 55006): m (SQLSTATE 55006); HINT: h; b"},
	} {
		if got := pgerror.Describe(c.err); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
