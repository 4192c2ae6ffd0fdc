package show

import (
	"slices"

	"github.com/replproxy/replproxy/docs"
)

// remedies returns the sections of the runbook with the remedies for warnings: one each, in their order, or the whole
// page.
func remedies(warnings []string) (all []string) {
	for _, w := range warnings {
		if at := docs.Section(w); !slices.Contains(all, at) {
			all = append(all, at)
		}
	}
	return all
}
