package show

import (
	"fmt"
	"io"

	"github.com/replproxy/replproxy/proxy/admin"
)

// Verdict prints the verdict in one line, and in another one where the runbook has it. A proxy of an older release has
// none.
func Verdict(w io.Writer, v *admin.Verdict) {
	if v.Text == "" {
		return
	}
	fmt.Fprintln(w, Clean(v.Text))
	if v.Runbook != "" {
		fmt.Fprintf(w, "see %s\n", Clean(v.Runbook))
	}
	fmt.Fprintln(w)
}
