package walsource

import (
	"strings"
	"testing"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

// TestAdviceHolds: what a refusal advises can be done in the state in which it is said.
func TestAdviceHolds(t *testing.T) {
	lost := &LackError{System: 7, Timeline: 2, From: 16, To: 32, Of: 2, Lost: true}
	forked := &LackError{System: 7, Timeline: 3, From: 16, To: 32, Of: 2}
	other := &LackError{System: 7, Timeline: 4, From: 16, To: 32, Of: 4, Lost: true}
	gaveUp := func(e *LackError) []string { return map[*LackError][]string{lost: {"proxy_a"}}[e] }
	for name, c := range map[string]struct {
		k           knowledge
		e           *LackError
		says, hides string
	}{
		"nobody has said a word":            {knowledge{}, lost, "Stop it, and promote", "restart"},
		"a promotion":                       {knowledge{gaveUp: gaveUp}, forked, "accept-timeline 3", "restart"},
		"it is given up here":               {knowledge{aside: 2, gaveUp: gaveUp}, lost, "To keep that WAL after all do not restart", "accept-timeline"},
		"it is given up elsewhere":          {knowledge{gaveUp: gaveUp}, lost, "proxy_a has given it up. Give it up here too: replproxy accept-timeline 2.", "Stop it, and"},
		"something else is given up":        {knowledge{aside: 2}, forked, "once this proxy has been restarted", "accept-timeline"},
		"something else that it lost is":    {knowledge{aside: 2}, other, "once this proxy has been restarted", "accept-timeline"},
		"something else is given up abroad": {knowledge{gaveUp: gaveUp}, other, "Stop it, and promote", "proxy_a"},
	} {
		got := pgerror.Describe(c.e.refusal(c.k.words(c.e)))
		if !strings.Contains(got, c.says) || strings.Contains(got, c.hides) {
			t.Errorf("%s: %s", name, got)
		}
	}
}
