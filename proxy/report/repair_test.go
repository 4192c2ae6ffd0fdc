package report

import (
	"strings"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestRepairWarnings: WAL that is owed is named, and how far it has come again.
func TestRepairWarnings(t *testing.T) {
	t.Parallel()
	owed := &walstore.Repair{From: 0x1000000, To: 0x2000000}
	for _, tc := range []struct {
		owed *walstore.Repair
		held lsn.LSN
		want string // within the warning; "": there is none
		not  string
	}{
		{nil, lsn.Invalid, "", ""},
		{owed, lsn.Invalid, "from 0/1000000 to 0/2000000", "it has come"},
		{owed, 0x1800000, "it has come up to 0/1800000, and is taken when it is known to be the same", "does not send"},
	} {
		got := strings.Join(repairWarnings(tc.owed, tc.held, ""), "\n")
		if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) || tc.not != "" && strings.Contains(got, tc.not) {
			t.Errorf("%+v, held %s: %q", tc.owed, tc.held, got)
		}
	}
}
