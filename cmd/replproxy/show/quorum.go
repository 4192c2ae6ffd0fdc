package show

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/replproxy/replproxy/proxy/admin"
)

// Quorum prints why a commit waits: the rule, its three positions, and who is how far.
func Quorum(w io.Writer, q *admin.Quorum, now time.Time) {
	if len(q.Forgotten) > 0 {
		fmt.Fprintf(w, "\nnot waited for, as an operator said: %s\n", strings.Join(q.Forgotten, ", "))
	}
	if len(q.Levels) == 0 {
		return
	}
	rule := Clean(q.Rule)
	if rule == "" {
		rule = "none here, but another proxy has one"
	}
	fmt.Fprintf(w, "\nrule     %s\n", rule)
	if q.Spread != "" {
		fmt.Fprintf(w, "zones    %s\n", Clean(q.Spread))
	}
	for _, o := range q.Others {
		text := Clean(o.Rule)
		if o.Spread != "" {
			text += ", zones " + Clean(o.Spread)
		}
		fmt.Fprintf(w, "and      %s, the rule of %s: what waits has to satisfy that, too\n", text,
			strings.Join(o.Proxies, " and "))
	}
	if len(q.Unconfirmed) > 0 {
		fmt.Fprintf(w, "not in force yet: not confirmed by %s\n", strings.Join(q.Unconfirmed, ", "))
	}
	if len(q.Awaited) > 0 {
		fmt.Fprintf(w, "waits for a word of %s; if it is gone for good: replproxy forget %s\n",
			strings.Join(q.Awaited, ", "), q.Awaited[0])
	}
	t := table(w)
	fmt.Fprintln(t, "quorum\twaited for with\tcovered\treported\tbehind\tsince")
	for _, l := range q.Levels {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", l.Position, "synchronous_commit = "+l.Commit,
			Position(l.Quorum), Position(l.Reported), behind(l.Behind), since(l.Since, now))
	}
	t.Flush()
	for _, l := range q.Levels {
		if !l.Satisfiable {
			fmt.Fprintf(w, "%s cannot be satisfied now: %s\n", l.Position, Clean(l.Why))
		}
	}
	zones(w, q.Zones, now)
	fmt.Fprintln(w)
	t = table(w)
	fmt.Fprintln(t, "voter\tkind\tover\tcounts\tsync_state\twrite\tflush\tapply\tbehind w/f/a\tsince w/f/a")
	for _, v := range q.Voters {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s %d\t%s\t%s\t%s\t%s / %s / %s\t%s / %s / %s\n",
			orDash(Clean(v.Name)), orDash(v.Kind), orDash(Clean(v.Node)), Clean(v.Standing), v.State, v.Priority,
			Position(v.Write), Position(v.Flush), Position(v.Apply),
			behind(v.WriteBehind), behind(v.FlushBehind), behind(v.ApplyBehind),
			since(v.WriteSince, now), since(v.FlushSince, now), since(v.ApplySince, now))
	}
	t.Flush()
}

// zones prints a table of the zones: their positions and how far each lags.
func zones(w io.Writer, all []admin.QuorumZone, now time.Time) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintln(w)
	t := table(w)
	fmt.Fprintln(t, "zone\tcounting\twrite\tflush\tapply\tflush behind\tsince")
	for _, z := range all {
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\t%s\n", Clean(z.Name), z.Candidates,
			Position(z.Write), Position(z.Flush), Position(z.Apply), behind(z.Behind), since(z.Since, now))
	}
	t.Flush()
}

// cluster prints the links with the other proxies.
func cluster(w io.Writer, c *admin.Cluster, now time.Time) {
	if c == nil {
		return
	}
	fmt.Fprintf(w, "\nlinks with other proxies: %d refused, %d garbled, %d clashes of names\n",
		c.Refused, c.Garbled, c.Clashes)
	t := table(w)
	fmt.Fprintln(t, "proxy\taddress\tversion\treached\theard\tlast error")
	for _, p := range c.Peers {
		reached := "no"
		if p.Sending {
			reached = "yes"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", Clean(p.Name), orDash(p.Addr), orDash(Clean(p.Release)), reached,
			since(p.LastHeard, now), orDash(Clean(p.LastError)))
	}
	t.Flush()
}

// behind returns a distance, "-" where there is none.
func behind(n *int64) string {
	if n == nil {
		return "-"
	}
	return Bytes(*n)
}
