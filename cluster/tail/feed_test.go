package tail

import "testing"

// TestFeedingTurns: a store turns to a member that begins to have more while nothing comes, once, and back when all has
// come. A stream that runs is left alone.
func TestFeedingTurns(t *testing.T) {
	type look struct {
		streams      bool
		from, member string
		turns        bool
	}
	for name, looks := range map[string][]look{
		"nobody has more":                 {{false, "", "", false}, {true, "", "", false}},
		"the primary still sends":         {{true, "", "b", false}, {true, "", "b", false}},
		"a member has more":               {{false, "", "b", true}, {false, "", "b", false}},
		"it was known while WAL came":     {{true, "", "b", false}, {false, "", "b", false}},
		"another one has more":            {{false, "", "b", true}, {false, "", "c", true}},
		"it has no more, and has again":   {{false, "", "b", true}, {false, "", "", false}, {false, "", "b", true}},
		"fed to the end":                  {{false, "", "b", true}, {true, "b", "b", false}, {true, "b", "", true}, {true, "", "", false}},
		"the member is no feeder":         {{true, "c", "", false}, {true, "c", "b", false}},
		"another has more while it feeds": {{true, "b", "b", false}, {true, "b", "c", false}},
	} {
		var f Feeding
		for i, l := range looks {
			if got := f.Turn(l.streams, l.from, "b", l.member); got != l.turns {
				t.Errorf("%s, look %d: turns %t", name, i, got)
			}
		}
	}
}
