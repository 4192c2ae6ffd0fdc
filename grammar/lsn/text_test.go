package lsn

import "testing"

// TestWithoutPositions: positions are left out of a text, and nothing else is.
func TestWithoutPositions(t *testing.T) {
	for text, want := range map[string]string{
		"": "",
		"timeline 2 lacks acknowledged WAL from 0/5000000 to 1F/5000A64": "timeline 2 lacks acknowledged WAL from - to -",
		"(at FFFFFFFF/FFFFFFFF).":                                      "(at -).",
		"dial tcp 10.0.0.1:5432: connection refused; /var/lib, 2 of 3": "dial tcp 10.0.0.1:5432: connection refused; /var/lib, 2 of 3",
		"segment 000000010000000000000003 of 010000000/1":              "segment 000000010000000000000003 of 010000000/1",
	} {
		if got := WithoutPositions(text); got != want {
			t.Errorf("%q: %q, not %q", text, got, want)
		}
	}
}
