package crowd

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Whoever has most makes room, its oldest first; among equals the oldest of all.
func TestVictim(t *testing.T) {
	var c Crowd[int, string]
	if c.Victim(nil) != nil || c.Remove(nil) {
		t.Fatal("somebody is in an empty crowd")
	}
	for i, from := range []string{"b", "a", "a", "c", "a", "b"} {
		c.Add(i, from)
	}
	var order []int
	for c.Len() > 0 {
		v := c.Victim(nil)
		order = append(order, v.Value)
		if !c.Remove(v) || c.Remove(v) {
			t.Fatal("a member is removed once")
		}
	}
	if want := []int{1, 0, 2, 3, 4, 5}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
	for i := range 4 {
		c.Add(i, "a")
	}
	c.Add(4, "b")
	odd := func(m *Member[int, string]) bool { return m.Value%2 == 1 }
	if v := c.Victim(odd); v.Value != 1 {
		t.Errorf("victim %d of those that will do", v.Value)
	}
	if v := c.Victim(func(*Member[int, string]) bool { return false }); v != nil {
		t.Errorf("victim %d of none", v.Value)
	}
}

// Whatever comes and goes: counts are right, and an origin with one member stays while another one has two.
func TestCrowdAgainstModel(t *testing.T) {
	const limit = 16
	src := rand.New(rand.NewPCG(1, 2))
	var c Crowd[int, int]
	var model []*Member[int, int]
	of := func(from int) (n int) {
		for _, m := range model {
			if m.From == from {
				n++
			}
		}
		return n
	}
	for i := range 10_000 {
		if len(model) > 0 && src.IntN(3) == 0 {
			j := src.IntN(len(model))
			c.Remove(model[j])
			model = slices.Delete(model, j, j+1)
		}
		if c.Len() == limit {
			v := c.Victim(nil)
			for _, m := range model {
				if of(m.From) > of(v.From) {
					t.Fatalf("step %d: %d has %d, the victim's %d", i, m.From, of(m.From), of(v.From))
				}
			}
			c.Remove(v)
			model = slices.DeleteFunc(model, func(m *Member[int, int]) bool { return m == v })
		}
		from := src.IntN(5) * src.IntN(3)
		model = append(model, c.Add(i, from))
		if c.Len() != len(model) || c.Of(from) != of(from) {
			t.Fatalf("step %d: %d members, %d of %d", i, c.Len(), c.Of(from), from)
		}
	}
}

// One who comes after several that took all they could finds a place.
func TestFairness(t *testing.T) {
	for _, f := range []Fairness{Narrow, Wide} {
		for size := whole + 1; size <= 200; size++ {
			takers := 0
			for free := size; free > 0; takers++ {
				held := 0
				for ; f.Allows(held, free, size); held++ {
					free--
				}
				if held == 0 || takers == 0 && held < size/2 {
					t.Fatalf("%d places: taker %d gets %d", size, takers, held)
				}
			}
			if takers < 2 || f == Narrow && size >= 32 && takers < 4 {
				t.Fatalf("%d places: %d takers have all", size, takers)
			}
		}
		for size := 1; size <= whole; size++ {
			held := 0
			for ; f.Allows(held, size-held, size); held++ {
			}
			if held != size {
				t.Errorf("of %d places one gets %d", size, held)
			}
		}
	}
}

// What is remembered is bounded, and is right for the latest.
func TestKnown(t *testing.T) {
	var k Known[string]
	for i := range 3 * KnownHalf {
		k.Add(fmt.Sprint(i))
		k.Add(fmt.Sprint(i))
	}
	if k.Len() > 2*KnownHalf || !k.Has(fmt.Sprint(3*KnownHalf-1)) || !k.Has(fmt.Sprint(2*KnownHalf)) || k.Has("0") {
		t.Errorf("%d are known", k.Len())
	}
	k.Drop(fmt.Sprint(2 * KnownHalf))
	if k.Has(fmt.Sprint(2 * KnownHalf)) {
		t.Error("one that was dropped is known")
	}
}

func TestQuota(t *testing.T) {
	var q Quota
	now, said, missing := time.Unix(1000, 0), 0, 0
	for range 10 * quotaLines {
		if dropped, ok := q.Admit(now); ok {
			said++
			missing += dropped
		}
		now = now.Add(quotaWindow / (5 * quotaLines))
	}
	if said != 2*quotaLines || missing != 4*quotaLines {
		t.Errorf("%d said, %d named as missing", said, missing)
	}
	if dropped, ok := q.Admit(now.Add(-time.Hour)); !ok || dropped != 4*quotaLines {
		t.Errorf("a clock that was set back: %d, %v", dropped, ok)
	}
}
