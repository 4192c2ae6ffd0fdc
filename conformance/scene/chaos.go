package scene

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Counts returns "3 kill9, 1 fast", by name.
func Counts(of map[string]int) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(of)) {
		all = append(all, fmt.Sprintf("%d %s", of[name], name))
	}
	return strings.Join(all, ", ")
}
