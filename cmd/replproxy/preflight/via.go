package preflight

import (
	"fmt"
	"slices"
	"strings"

	"github.com/replproxy/replproxy/grammar/syncrep"
)

// notAllNamed warns when the primary waits for some members of a cluster and not for all. It sees only the member that
// streams from it. While that is one without a name in synchronous_standby_names, commits wait for ever.
func notAllNamed(s Setup, f Facts) string {
	rule, err := syncrep.Parse(f.Settings["synchronous_standby_names"])
	if err != nil || !s.ViaCluster {
		return ""
	}
	var missing []string
	for _, name := range present(s) {
		if rule.Priority(name) == 0 {
			missing = append(missing, syncrep.QuoteName(name))
		}
	}
	named := func(name string) bool { return rule.Priority(name) > 0 }
	if len(missing) == 0 || !slices.ContainsFunc(append([]string{s.Name}, s.Members...), named) {
		return ""
	}
	return fmt.Sprintf("the primary's synchronous_standby_names (%s) does not name %s, but upstream.via is cluster: "+
		"while that member streams from the primary, commits wait for ever", rule, strings.Join(missing, " and "))
}

// present returns this proxy and the members that no operator has forgotten, each once.
func present(s Setup) (names []string) {
	for _, name := range append([]string{s.Name}, s.Members...) {
		if !slices.Contains(names, name) && !slices.Contains(s.Forgotten, name) {
			names = append(names, name)
		}
	}
	return names
}

// nameAll returns the remedy for a member that is not named.
func nameAll(s Setup) string {
	return fmt.Sprintf("Name all members there, as in ANY 1 (%s).", strings.Join(s.proxies(), ", "))
}

func viaChecks(s Setup, f Facts) []Check {
	if text := notAllNamed(s, f); text != "" {
		return []Check{{Name: "via and primary", Level: Fail, Text: text,
			Remedy: nameAll(s)}}
	}
	return nil
}
