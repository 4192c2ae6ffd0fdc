package tail

import (
	"fmt"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/quorum"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

func ruleOf(t *testing.T, names string) quorum.Rule {
	t.Helper()
	d, err := ledger.Parse(vote.RuleText{Names: names})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// A final end is a number, an unknown one -1.
func TestProve(t *testing.T) {
	type ends map[string]lsn.LSN
	const unknown = ^lsn.LSN(0)
	for i, c := range []struct {
		begin    lsn.LSN
		rule     string // of every proxy
		proxies  ends
		standbys ends
		target   lsn.LSN
		gaps     int
	}{
		// All fenced: what they flushed is all that anybody was told, whatever the rule and the standbys.
		{0, "ANY 1 (*)", ends{"a": 70}, ends{"s1": unknown}, 70, 0},
		{0, "", ends{"a": 70, "b": 80}, ends{"s1": 200}, 80, 0},
		{90, "ANY 1 (s1)", ends{"a": 70}, nil, 90, 0}, // nothing yet on this timeline
		// One is not: its rule must not be satisfiable by those of unknown end.
		{0, "ANY 1 (s1)", ends{"a": 70, "b": unknown}, ends{"s1": 100}, 100, 0},
		{0, "ANY 1 (s1)", ends{"a": 70, "b": unknown}, ends{"s1": unknown}, 70, 1},
		{0, "ANY 2 (s1, s2, s3)", ends{"a": 70, "b": unknown}, ends{"s1": 100, "s2": 110, "s3": unknown}, 110, 0},
		{0, "ANY 2 (s1, s2, s3)", ends{"a": 70, "b": unknown}, ends{"s1": 100, "s2": unknown, "s3": unknown}, 100, 1},
		{0, "FIRST 1 (s1, s2)", ends{"a": 70, "b": unknown}, ends{"s1": 100, "s2": unknown}, 100, 1}, // s1 may have been away
		{0, "ANY 2 (a, b, c)", ends{"a": 70, "b": 90, "c": unknown}, ends{"s1": unknown}, 90, 0},
		{0, "ANY 2 (a, b, c)", ends{"a": 70, "b": unknown, "c": unknown}, nil, 70, 2},
		{0, "", ends{"a": 70, "b": unknown}, ends{"s1": 100}, 100, 1}, // its own store is enough
		{0, "ANY 1 (*)", ends{"a": 70, "b": unknown}, ends{"s1": 100, "s2": unknown}, 100, 1},
		{0, "ANY 1 (*)", ends{"a": 70, "b": unknown}, ends{"s1": 100, "s2": 50}, 100, 0},
	} {
		t.Run(fmt.Sprint(i, " ", c.rule), func(t *testing.T) {
			q, id := Question{Begin: c.begin}, uint64(0)
			holder := func(name string, end lsn.LSN) Holder {
				id++
				if end == unknown {
					return Holder{Name: name, ID: id, End: 1000}
				}
				return Holder{Name: name, ID: id, Final: true, End: end}
			}
			for _, name := range sortedKeys(c.proxies) {
				p := Proxy{Holder: holder(name, c.proxies[name]), Rules: []quorum.Rule{ruleOf(t, c.rule)}}
				p.Store = true
				q.Proxies = append(q.Proxies, p)
			}
			for _, name := range sortedKeys(c.standbys) {
				q.Standbys = append(q.Standbys, holder(name, c.standbys[name]))
			}
			if p := q.Prove(); p.Target != c.target || len(p.Gaps) != c.gaps {
				t.Errorf("target %v, gaps %+v", p.Target, p.Gaps)
			}
		})
	}
}

// A manager without any proxy's help must hear, under ANY k of n standbys, n - k + 1 of them for the last time. It
// then promotes the one that has most. One less proves nothing.
func TestHowManyToHear(t *testing.T) {
	for n := 1; n <= 7; n++ {
		for k := 1; k <= n; k++ {
			var names []string
			for i := range n {
				names = append(names, fmt.Sprintf("s%d", i))
			}
			rule := ruleOf(t, fmt.Sprintf("ANY %d (%s)", k, strings.Join(names, ", ")))
			for heard := range n + 1 {
				q := Question{Proxies: []Proxy{{
					Holder: Holder{Name: "a", ID: 100, Store: true}, Rules: []quorum.Rule{rule},
				}}}
				for i, name := range names {
					q.Standbys = append(q.Standbys, Holder{Name: name, ID: uint64(i), Final: i < heard, End: lsn.LSN(i + 1)})
				}
				p := q.Prove()
				if enough := heard >= n-k+1; enough != (len(p.Gaps) == 0) || enough && p.Target != lsn.LSN(heard) {
					t.Errorf("ANY %d of %d, %d heard: %+v", k, n, heard, p)
				}
			}
		}
	}
}
