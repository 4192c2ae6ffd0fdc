package show

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/replproxy/replproxy/cluster/tail"
)

// Tail prints the WAL of each proxy and standby, and a line for each candidate.
func Tail(w io.Writer, t *tail.Tail, now time.Time) {
	begin := ""
	if t.Begin > 0 {
		begin = ", which begins at " + t.Begin.String()
	}
	fmt.Fprintf(w, "timeline %s%s\n\n", t.Timeline, begin)
	var missing []string
	tw := table(w)
	fmt.Fprintln(tw, "proxy\tfenced up to\ttimeline\treceived\twritten\tflushed\tend\tsaid\trule")
	for _, p := range t.Proxies {
		end := "not final: " + p.Why
		if p.Final {
			end = "final: " + p.Why
		}
		said := "-"
		if p.Received > 0 {
			said = time.Duration(p.Age*float64(time.Second)).Round(time.Second).String() + " ago"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", Clean(p.Node), p.Fenced, p.Timeline,
			Position(p.Received), Position(p.Written), Position(p.Flushed), Clean(end), said, orDash(Clean(p.Rule)))
		if !p.Reached {
			missing = append(missing, Clean(p.Node))
		}
	}
	tw.Flush()
	if len(missing) > 0 {
		fmt.Fprintf(w, "NOT REACHED: %s\n", strings.Join(missing, ", "))
	}
	fmt.Fprintln(w)
	tw = table(w)
	fmt.Fprintln(tw, "standby\tover\tstate\ttimeline\tsent\twrite\tflush\treplay\tattached for\tlast reply")
	for _, s := range t.Standbys {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n",
			Clean(s.Name), Clean(s.Proxy), Clean(s.State), s.Timeline,
			Position(s.Sent), Position(s.Write), Position(s.Flush), Position(s.Apply),
			since(s.Attached, now), since(s.Replied, now))
	}
	tw.Flush()
	fmt.Fprintln(w)
	for _, v := range t.Candidates {
		if v.State != tail.NotProven {
			fmt.Fprintln(w, Clean(v.String()))
			continue
		}
		fmt.Fprintf(w, "%s: NOT PROVEN\n", Clean(v.Name))
		for _, why := range v.Why {
			fmt.Fprintf(w, "    %s\n", Clean(why))
		}
	}
	if len(t.Candidates) == 0 {
		fmt.Fprintln(w, "no candidates: no standby is attached to a proxy that is reached")
		for _, node := range missing {
			fmt.Fprintf(w, "    start %s again; or, if it is gone for good, let its standbys come to another proxy, "+
				"and say where its reports end, --end %s=LSN (docs/failover.md, A proxy is gone for good)\n",
				node, node)
		}
	}
}
