package report

import (
	"strings"
	"testing"

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
