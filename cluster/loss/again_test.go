package loss

import (
	"slices"
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// instead is a store into which WAL comes that was written instead of all losses.
var instead = Store{Concerns: kept, Brings: kept}

// TestAskedUntilAllKeepIt: a member may serve lost WAL while it does not have the loss on its disk. Until then a
// standby that passes is asked again. It passes amid the loss only as far as it was known to have the WAL that was
// written instead.
func TestAskedUntilAllKeepIt(t *testing.T) {
	who, members := Who{"s1", "h", ""}, []string{"b", "c"}
	a := given()
	hear := func(member string, o Loss, on bool) {
		a, _ = a.Hear(member, Set{o}.Told(func(Loss) bool { return on }, 0))
	}
	pass := func(first lsn.LSN, want bool) {
		t.Helper()
		l, refused := a[0].Judge(who, at(first), members)
		if a[0] = l; refused == want {
			t.Errorf("at %s of [%s, %s): refused is %t; %+v", first, l.From, l.To, refused, l)
		}
	}
	pass(from, true)
	pass(from+100, false) // it may have taken that at b
	a[0] = a[0].Left(who, from+50)
	pass(from+50, true)
	pass(from+51, false)
	hear("b", a[0], true)
	hear("c", a[0], false)
	pass(from, true)
	if a[0].KnownToAll(members) || !a[0].Asks(who) {
		t.Errorf("c does not keep it: %+v", a[0])
	}
	hear("c", a[0], true)
	if !a[0].KnownToAll(members) || !a[0].Asks(who) {
		t.Errorf("it passed when b and c did not keep it: %+v", a[0])
	}
	pass(from+51, false)
	pass(from+50, true)
	if a[0].Asks(who) {
		t.Errorf("it is asked for ever: %+v", a[0])
	}
	lower := a[0]
	lower.From, lower.Passed, lower.Upto = lower.From-1000, nil, nil
	hear("b", lower, false)
	if a[0].KnownToAll(members) || !a[0].Asks(who) || len(a[0].Upto) > 0 {
		t.Errorf("the loss begins before what others keep: %+v", a[0])
	}
}

// TestAcceptedAtOnce: three proxies are told before they hear of each other. It is one loss, whoever hears whom first;
// the next one at the same positions, which one of them is told of, is another.
func TestAcceptedAtOnce(t *testing.T) {
	var all [3]Set
	for i := range all {
		l := Loss{ID: uint64(i + 1), System: sys, Timeline: 2, From: from + lsn.LSN(10*i), To: to + lsn.LSN(10*i)}
		all[i], _ = all[i].GiveUp(l, []string{string(rune('a' + i))})
	}
	for range 2 {
		for i := range all {
			for j := range all {
				all[i], _ = all[i].Hear(string(rune('x'+j)), all[j].Told(kept, 0))
			}
		}
	}
	for i, s := range all {
		if len(s) != 1 || s[0].From != from || s[0].To != to+20 || !slices.Equal(s[0].Suspects(), []string{"a", "b", "c"}) {
			t.Errorf("proxy %d: %+v", i, s)
		}
	}
	all[0] = all[0].Streams(instead)
	all[0], _ = all[0].GiveUp(Loss{ID: 9, System: sys, Timeline: 2, From: from, To: to}, nil)
	for i := 1; i < 3; i++ {
		if all[i], _ = all[i].Hear("x", all[0].Told(kept, 0)); len(all[i]) != 2 || all[i][1].Own {
			t.Errorf("the next loss, at proxy %d: %+v", i, all[i])
		}
	}
}

// TestOneWordIsOneLoss: a word is carried out again and again, as the disk is full and nothing comes instead of the lost
// WAL. It is one loss all the time, and a standby that has nothing to do with it counts as before. Once WAL has come that
// was written instead, what is given up there is another loss.
func TestOneWordIsOneLoss(t *testing.T) {
	s1 := Who{"s1", "h", ""}
	s, _ := Set(nil).GiveUp(Loss{ID: 1, System: sys, Timeline: 2, From: from, To: to}, []string{"s1"})
	s[0], _ = s[0].Judge(s1, at(to+100), nil)
	s = s.Streams(instead)
	again := func(id uint64, end lsn.LSN, name string) (known uint64) {
		s, known = s.GiveUp(Loss{ID: id, System: sys, Timeline: 2, From: to + 1000, To: end}, []string{name})
		return known
	}
	for i := range uint64(10) {
		if id := again(100+i, to+2000+lsn.LSN(i), "s2"); id != 100 {
			t.Fatalf("the word of loss 100 made loss %d: %+v", id, s)
		}
	}
	again(200, to+2000, "s3")
	if len(s) != 2 || s[1].To != to+2009 || !slices.Equal(s.Suspects(instead), []string{"s2", "s3"}) {
		t.Errorf("%+v: %q do not count", s, s.Suspects(instead))
	}
	s = s.Streams(instead)
	if id := again(300, to+2000, "s2"); id != 300 || len(s) != 3 {
		t.Errorf("WAL that was written instead is lost: %d of %+v", id, s)
	}
}
