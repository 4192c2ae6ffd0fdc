package tail

import "testing"

// TestFeedingTurns: a store turns to a member that begins to have more while nothing comes, once, and back when all has
// come. A stream that runs is left alone.
func TestFeedingTurns(t *testing.T) {
	type look struct {
		streams, fed bool
		member       string
		turns        bool
	}
	for name, looks := range map[string][]look{
		"nobody has more":                 {{false, false, "", false}, {true, false, "", false}},
		"the primary still sends":         {{true, false, "b", false}, {true, false, "b", false}},
		"a member has more":               {{false, false, "b", true}, {false, false, "b", false}},
		"it was known while WAL came":     {{true, false, "b", false}, {false, false, "b", false}},
		"another one has more":            {{false, false, "b", true}, {false, false, "c", true}},
		"it has no more, and has again":   {{false, false, "b", true}, {false, false, "", false}, {false, false, "b", true}},
		"fed to the end":                  {{false, false, "b", true}, {true, true, "b", false}, {true, true, "", true}, {true, false, "", false}},
		"another has more while it feeds": {{true, true, "b", false}, {true, true, "c", false}},
	} {
		var f Feeding
		for i, l := range looks {
			if got := f.Turn(l.streams, l.fed, l.member); got != l.turns {
				t.Errorf("%s, look %d: turns %t", name, i, got)
			}
		}
	}
}
