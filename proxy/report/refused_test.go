package report

import (
	"slices"
	"testing"

	"github.com/replproxy/replproxy/proxy/admin"
)

// TestRefusedKeys: a key whose value in the file is refused is named with the reason, and with the value that holds.
func TestRefusedKeys(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		refused []admin.Refused
		want    []string
	}{
		{nil, nil},
		{[]admin.Refused{{Key: "synchronous_standby_names", Running: "ANY 2 (s1, s2)", Why: "use drop-rule"}}, []string{
			`the value of synchronous_standby_names in the file, "", is refused, and "ANY 2 (s1, s2)" stays in force; ` +
				`mend the file before a restart: use drop-rule`}},
		{[]admin.Refused{{Key: "a", Running: "1", New: "2", Why: "no"}, {Key: "b", Running: "3", New: "4", Why: "no"}}, []string{
			`the value of a in the file, "2", is refused, and "1" stays in force; mend the file before a restart: no`,
			`the value of b in the file, "4", is refused, and "3" stays in force; mend the file before a restart: no`}},
	} {
		if got := refusedWarnings(admin.Config{Refused: c.refused, Pending: []admin.Pending{{Key: "listen"}}}); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %q", c.refused, got)
		}
	}
}
