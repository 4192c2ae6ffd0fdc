package show

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/replproxy/replproxy/proxy/admin"
)

// Servers prints the cluster as one table, one row a server: the primary, the proxies, then the standbys, also those
// that the rule names and that are away. With short names it fits 80 columns.
func Servers(w io.Writer, s *admin.Status) {
	t := table(w)
	fmt.Fprintln(t, "server\trole\tat\tstate\tbehind\trule")
	u := &s.Upstream
	role, state := "primary", u.State
	if u.Member != "" {
		role = "primary, by " + Clean(u.Member)
	}
	if !u.DownSince.IsZero() {
		state = "does not answer"
	}
	fmt.Fprintf(t, "%s\t%s\t-\t%s\t-\t-\n", orDash(Clean(u.Endpoint)), role, state)
	ready := "ready"
	if !s.Ready {
		ready = "not ready"
	}
	fmt.Fprintf(t, "%s\tproxy\there\t%s\t-\t%s\n", Clean(s.Name), ready, votes(s, s.Name))
	if s.Cluster != nil {
		for _, p := range s.Cluster.Peers {
			state := "heard"
			if p.Heard.IsZero() {
				state = "silent " + since(p.LastHeard, s.Now)
			}
			fmt.Fprintf(t, "%s\tproxy\t-\t%s\t-\t%s\n", Clean(p.Name), state, votes(s, p.Name))
		}
	}
	here := map[string]bool{}
	for _, b := range s.Standbys {
		here[strings.ToLower(b.ApplicationName)] = true
		fmt.Fprintf(t, "%s\tstandby\t%s\t%s\t%s\t%s\n", orDash(Clean(b.ApplicationName)), Clean(s.Name), b.State,
			Bytes(b.LagBytes), orDash(b.SyncState))
	}
	for _, v := range s.Quorum.Voters {
		if here[v.Name] || v.Kind == "store" || v.Node == s.Name {
			continue
		}
		state := v.Standing
		if state == admin.Counts {
			state = "attached"
		}
		if v.Node == "" && isMember(s, v.Name) {
			continue
		}
		fmt.Fprintf(t, "%s\tstandby\t%s\t%s\t%s\t%s\n", orDash(Clean(v.Name)), orDash(Clean(v.Node)), Clean(state),
			behind(v.FlushBehind), cmp.Or(v.State, "-"))
	}
	t.Flush()
	fmt.Fprintln(w)
}

// votes returns the sync_state of a proxy's store; a dash where it has no vote.
func votes(s *admin.Status, name string) string {
	for _, v := range s.Quorum.Voters {
		if v.Kind == "store" && v.Node == name {
			return orDash(v.State)
		}
	}
	return "-"
}

// isMember reports whether a name is that of a proxy of the cluster.
func isMember(s *admin.Status, name string) bool {
	if name == s.Name {
		return true
	}
	if s.Cluster != nil {
		for _, p := range s.Cluster.Peers {
			if p.Name == name {
				return true
			}
		}
	}
	return false
}
