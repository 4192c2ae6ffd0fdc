package report

import (
	"fmt"

	"github.com/replproxy/replproxy/proxy/admin"
)

// refusedWarnings name the keys whose value in the file is refused. A restart would not put such a value into force.
func refusedWarnings(c admin.Config) (all []string) {
	for _, r := range c.Refused {
		all = append(all, fmt.Sprintf("the value of %s in the file, %q, is refused, and %q stays in force; "+
			"mend the file before a restart: %s", r.Key, r.New, r.Running, r.Why))
	}
	return all
}
