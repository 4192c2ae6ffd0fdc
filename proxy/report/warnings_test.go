package report

import (
	"slices"
	"testing"
)

// TestWorstFirst: warnings are listed by how bad they are, whatever part says them first.
func TestWorstFirst(t *testing.T) {
	t.Parallel()
	var w warnings
	if got := w.worstFirst(); got == nil || len(got) != 0 {
		t.Errorf("%#v", got)
	}
	w.add(setUp, "a certificate ends")
	w.add(loses, "a slot is lost", "another one")
	w.add(stops, "no WAL")
	w.add(loses, "a standby is stranded")
	want := []string{"no WAL", "a slot is lost", "another one", "a standby is stranded", "a certificate ends"}
	if got := w.worstFirst(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
