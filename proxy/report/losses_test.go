package report

import (
	"strings"
	"testing"

	"github.com/replproxy/replproxy/cluster/loss"
	"github.com/replproxy/replproxy/fanout/walsource"
	"github.com/replproxy/replproxy/proxy/admin"
)

// TestAcceptedIsWarnedOf: a word that is not used yet is told of, with how to take it back.
func TestAcceptedIsWarnedOf(t *testing.T) {
	for _, a := range []*admin.Accepted{{Timeline: 3, System: "7", Forced: true}, {Timeline: 3, From: 16, To: 32, Of: 2}} {
		if w := acceptedWarnings(a); len(w) != 1 || !strings.Contains(w[0], "accept-timeline --revoke 3 takes that back") {
			t.Errorf("%+v: %q", a, w)
		}
	}
	if w := acceptedWarnings(nil); w != nil {
		t.Errorf("none: %q", w)
	}
}

// TestHeldBackIsWarnedOf: that a new data_dir serves nobody is said, with for whom it waits.
func TestHeldBackIsWarnedOf(t *testing.T) {
	for _, c := range []struct {
		newcomer bool
		unheard  []string
		want     string
	}{
		{false, nil, ""},
		{true, []string{"b", "c"}, "from b or c: start one of them; only if each is gone for good, say so: replproxy forget b"},
		{true, nil, "no standby is served: data_dir is new, and while no WAL comes in"},
	} {
		w := heldBackWarnings(loss.HeldBack(c.newcomer, c.unheard), c.unheard)
		if (len(w) == 0) != (c.want == "") || len(w) > 0 && !strings.Contains(w[0], c.want) {
			t.Errorf("%+v: %q", c, w)
		}
	}
}

// TestLateMembersAreWarnedOf: each member that was away is named, with where the operator says that nothing is missing.
func TestLateMembersAreWarnedOf(t *testing.T) {
	late := []walsource.LackError{{Timeline: 3, Of: 1, From: 16, To: 32, By: "b"}, {Timeline: 3, Of: 2, From: 16, To: 48, By: "c"}}
	w := lateWarnings(late)
	if len(w) != 2 || !strings.Contains(w[0], "from 0/10 to 0/20") || !strings.HasSuffix(w[0], "accept-timeline 3 on b") ||
		!strings.Contains(w[1], "timeline 2 from") || !strings.HasSuffix(w[1], "accept-timeline 3 on c") {
		t.Errorf("%q", w)
	}
	if w := lateWarnings(nil); w != nil {
		t.Errorf("nobody: %q", w)
	}
}
