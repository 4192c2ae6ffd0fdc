package daemon

import (
	"strings"
	"testing"
)

// TestRootIsRefused: as PostgreSQL refuses to run as root; the operator may insist.
func TestRootIsRefused(t *testing.T) {
	for _, tc := range []struct {
		user    int
		allowed bool
		want    string
	}{{1, false, ""}, {0, true, ""}, {0, false, `"root" execution of replproxy is not permitted`}} {
		err := refuseRoot(tc.user, tc.allowed)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%+v: %v", tc, err)
		}
	}
}
