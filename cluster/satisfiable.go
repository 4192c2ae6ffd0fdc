package cluster

import (
	"fmt"
	"slices"
	"strings"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// satisfiable reports whether every rule in use can cover a position in a column with who is there. That no member has
// been heard comes last in why: it is so at every start.
func (n *Node) satisfiable(l ledger.Evaluation, column int) (ok bool, why string) {
	var all, last []string
	for _, h := range l.Holds {
		if h.Why == ledger.Uncompared {
			last = append(last, describe(h))
			continue
		}
		all = append(all, describe(h))
	}
	for _, d := range l.Rules {
		if d.Rule.Names == "" {
			continue
		}
		for _, h := range d.Holds {
			if h.Why != ledger.Unsatisfied {
				all = append(all, describe(h))
			}
		}
		switch r := d.Result; {
		case !r.Satisfied:
			all = append(all, unsatisfied(d, n.whose(d)))
		case len(d.Holds) == 0 && positions(d.Free)[column] == lsn.Invalid && held(d) != "" &&
			positions(r.Positions)[column] != lsn.Invalid:
			all = append(all, held(d))
		case len(d.Holds) == 0 && positions(r.Positions)[column] == lsn.Invalid:
			all = append(all, fmt.Sprintf("%s%s: too few of its %d candidates report %s",
				d.Rule.Names, n.whose(d), r.Candidates,
				[3]string{write: "write", flush: "flush", apply: "apply"}[column]))
		}
	}
	all = append(all, last...)
	return len(all) == 0, strings.Join(all, "; ")
}

// whose names the members that have a rule which this node has not, as an apposition; "": this one has it too.
func (n *Node) whose(d ledger.RuleInUse) string {
	if slices.Contains(d.Nodes, n.o.Name) {
		return ""
	}
	return " (the rule of " + strings.Join(d.Nodes, " and ") + ")"
}

// held lists the voters of a rule that are held, each with the reason; "": none is.
func held(d ledger.RuleInUse) string {
	var all []string
	for _, v := range d.Voters {
		if v.Held != "" {
			all = append(all, v.Name+" is "+v.Held)
		}
	}
	return strings.Join(all, ", ")
}

func describe(h ledger.Hold) string {
	if h.Node == "" {
		return string(h.Why)
	}
	return string(h.Why) + " (" + h.Node + ")"
}

func positions(p lsn.Progress) [3]lsn.LSN { return [3]lsn.LSN{p.Write, p.Flush, p.Apply} }
