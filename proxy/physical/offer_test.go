package physical

import (
	"fmt"
	"testing"
)

// TestOffers: one question is for all roles, several are for each role.
func TestOffers(t *testing.T) {
	sasl, clear := "\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00", "\x00\x00\x00\x03"
	var o offers
	expect := func(user, want string) {
		t.Helper()
		if got := string(o.foretell(user)); got != want {
			t.Errorf("%s is asked %q, not %q", user, got, want)
		}
	}
	expect("a", "")
	o.note("a", []byte(sasl))
	expect("a", sasl)
	expect("b", sasl)
	o.note("b", []byte(clear))
	expect("a", sasl)
	expect("b", "")
	expect("c", "") // nobody knows which of them
	o.forget()
	expect("a", "")
	for _, odd := range []string{
		"\x00\x00\x00\x0aSCRAM-SHA-256", "\x00\x00\x00\x0aSCRAM-SHA-256\x00", "\x00\x00\x00\x0a\x00", "\x00\x00\x00\x0aOAUTHBEARER\x00\x00",
		"\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00\x00", "\x00\x00\x00\x0a", "",
	} {
		o.note("a", []byte(odd))
		expect("a", "")
	}
	o.forget()
	for i := range 2 * maxOffers {
		o.note(fmt.Sprint("x", i), []byte(sasl))
	}
	if n := len(o.by); n > maxOffers {
		t.Errorf("%d roles are remembered", n)
	}
}
