package loss

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// member is a proxy whose store has WAL of timeline 2 that was given up. It follows timeline 3 in the end: the
// server that was promoted has that WAL.
type member struct {
	Name  string
	Set   Set
	Aside uint64
	Told  bool // by the operator
	Left  bool // timeline 2
	Said  Set  // at last to the others
}

func (k member) store(all []member) Store {
	instead := func(l Loss) bool {
		return slices.ContainsFunc(all, func(o member) bool { return o.Name != k.Name && o.Said.Brings(l) })
	}
	at := Store{Received: to, Aside: k.Aside, Timeline: 2}
	at.Concerns = func(l Loss) bool { return !l.Void || !k.Left || instead(l) }
	at.Brings = func(Loss) bool { return k.Left } // before it refuses the primary that lost it
	if k.Left {
		at.Timeline = 3
	}
	return at
}

// step returns all after proxy i has done the thing of that name; false: it cannot.
func (k member) step(all []member, i int, do string) (_ []member, can bool) {
	all = slices.Clone(all)
	instead := func(l Loss) bool {
		return slices.ContainsFunc(all, func(o member) bool { return o.Name != k.Name && o.Said.Brings(l) })
	}
	switch do {
	case "told":
		if k.Told || slices.ContainsFunc(all, func(o member) bool { return o.Left }) {
			return nil, false
		}
		k.Told = true
		k.Set, k.Aside = k.Set.GiveUp(Loss{ID: uint64(i + 1), System: sys, Timeline: 2, From: from, To: to}, []string{"s1", "s2"})
	case "leaves":
		told := slices.ContainsFunc(all, func(o member) bool { return o.Told })
		if k.Left || told && len(k.Set) == 0 {
			return nil, false
		}
		k.Left = true
		k.Set, _ = k.Set.KeptBy(k.store(all), 2, instead)
		if k.Told {
			k.Set, _ = k.Set.TakeBack(sys, 2, from, to, instead)
		}
		k.Aside = 0
	case "looks":
		k.Set = k.Set.Streams(k.store(all))
	case "says":
		k.Said = k.Set.Told(kept, k.Aside)
	default:
		for _, o := range all {
			if do == "hears "+o.Name && o.Name != k.Name {
				k.Set, _ = k.Set.Hear(o.Name, o.Said)
				all[i] = k
				return all, true
			}
		}
		return nil, false
	}
	all[i] = k
	return all, true
}

// TestAllKeepIt: WAL was given up on some proxies, and all follow a server that has it. In whatever order they were
// told, hear each other and follow, it is over at all of them, for good: nobody is asked, and all standbys count. One that
// follows before it has heard of the word cannot know whether it has that WAL, so that is left out.
func TestAllKeepIt(t *testing.T) {
	text := func(all []member) string { b, _ := json.Marshal(all); return string(b) }
	type state struct {
		all []member
		by  []string
	}
	start := state{all: []member{{Name: "a"}, {Name: "b"}}}
	seen, next := map[string]bool{text(start.all): true}, []state{start}
	for len(next) > 0 {
		s := next[0]
		next = next[1:]
		if why := goesOn(s.all); why != "" {
			t.Fatalf("%q: %s", s.by, why)
		}
		for i, k := range s.all {
			for _, do := range []string{"told", "says", "hears a", "hears b", "leaves", "looks"} {
				all, can := k.step(s.all, i, do)
				if can && !seen[text(all)] {
					seen[text(all)] = true
					next = append(next, state{all, append(slices.Clone(s.by), k.Name+" "+do)})
				}
			}
		}
	}
	t.Logf("%d states", len(seen))
}

// goesOn lets all proxies follow and hear each other, and says what still holds somebody back.
func goesOn(all []member) string {
	for _, do := range strings.Fields("says hears leaves looks says hears looks says hears looks says") {
		for i := range all {
			if after, can := all[i].step(all, i, strings.Replace(do, "hears", "hears "+all[1-i].Name, 1)); can {
				all = after
			}
		}
	}
	for _, k := range all {
		at, f := k.store(all), First{}
		f.Write, f.Flush, f.Apply = from+lsn.LSN(1), from+lsn.LSN(1), from+lsn.LSN(1)
		j := k.Set.Judge(Who{Name: "s2"}, f, at, nil)
		own := slices.ContainsFunc(k.Set, func(l Loss) bool { return l.Own })
		if names := k.Set.Suspects(at); len(names) > 0 || j.Refused != nil || k.Set.Asks(Who{Name: "s3"}, at) || own {
			return fmt.Sprintf("%s: %q do not count, refused is %v: %+v", k.Name, names, j.Refused, k.Set)
		}
	}
	return ""
}
