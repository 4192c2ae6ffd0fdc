package realslot

import (
	"slices"
	"testing"

	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/grammar/copyboth"
)

func TestDecide(t *testing.T) {
	const own = "replproxy_p"
	base := situation{own: own, policy: Advance, mirror: NoMirror, settled: true, oldest: 100, target: 500}
	adopted := slot.Info{Name: "a", Real: slot.Adopted, Restart: 300, Xmin: 700}
	held := Real{Name: own, ActivePID: 1, Restart: 500, Xmin: 700}
	idle := Real{Name: "a", Restart: 200, Xmin: 690}
	members := slot.Info{Name: "a", Real: slot.Mirrored, Foreign: true, Restart: 300}
	for _, c := range []struct {
		name   string
		change func(*situation)
		own    slot.Info
		real   []Real
		want   []action
	}{
		{"taken over", nil, adopted, []Real{idle, held}, []action{{clear, "a"}}},
		{"its xmin is gone", nil, adopted, []Real{{Name: "a", Restart: 200}, held}, []action{{advance, "a"}}},
		{"xmin is not held yet", nil, adopted, []Real{idle, {Name: own, Xmin: 701}}, nil},
		{"xmin is not held at all", nil, adopted, []Real{idle, {Name: own}}, nil},
		{"the proxy's own slot is missing", nil, adopted, []Real{idle}, nil},
		{"the proxy has no slot", func(s *situation) { s.own = "" }, adopted, []Real{idle}, []action{{clear, "a"}}},
		{"this proxy's slot is apart", func(s *situation) { s.apart = true }, adopted, []Real{idle, {Name: own}},
			[]action{{clear, "a"}}},
		{"catalog_xmin is not held", nil, slot.Info{Name: "a", Real: slot.Adopted, Restart: 300, CatalogXmin: 7},
			[]Real{idle, held}, nil},
		{"feedback has not settled", func(s *situation) { s.settled = false }, adopted, []Real{idle, held}, nil},
		{"WAL is still on the primary only", func(s *situation) { s.oldest = 301 }, adopted, []Real{idle, held}, nil},
		{"WAL is not flushed yet", func(s *situation) { s.target = 299 }, adopted, []Real{idle, held}, nil},
		{"nothing flushed", func(s *situation) { s.target = 0 }, adopted, []Real{idle, held}, nil},
		{"active there", nil, adopted, []Real{{Name: "a", ActivePID: 9, Restart: 200}, held}, nil},
		{"never backward", nil, adopted, []Real{{Name: "a", Restart: 501}, held}, nil},
		{"drop", func(s *situation) { s.policy = Drop }, adopted, []Real{idle, held}, []action{{drop, "a"}}},
		{"drop waits for xmin", func(s *situation) { s.policy = Drop }, adopted, []Real{idle, {Name: own}}, nil},
		{"keep", func(s *situation) { s.policy = Keep }, adopted, []Real{idle, held}, nil},
		{"gone there", nil, adopted, []Real{held}, nil},
		{"gone there, and its WAL is not here", func(s *situation) { s.oldest = 301 }, adopted, []Real{held}, []action{{forget, "a"}}},
		{"lost here", nil, slot.Info{Name: "a", Real: slot.Adopted, Restart: 1, Lost: slot.IdleTimeout}, []Real{idle}, []action{{drop, "a"}}},
		{"lost here, mirrored", func(s *situation) { s.mirror = Presence },
			slot.Info{Name: "a", Real: slot.Mirrored, Lost: slot.WALRemoved}, []Real{idle}, []action{{drop, "a"}}},
		{"lost here, not mirrored any more", func(s *situation) { s.mirror = Presence },
			slot.Info{Name: "a", Lost: slot.WALRemoved}, nil, nil},
		{"lost here, kept there", func(s *situation) { s.policy = Keep },
			slot.Info{Name: "a", Real: slot.Adopted, Lost: slot.WALRemoved}, []Real{idle}, nil},
		{"not ours", nil, slot.Info{Name: "a"}, []Real{idle, held}, nil},
		{"no mirrors wanted", nil, slot.Info{Name: "a"}, []Real{held}, nil},
		{"mirror", func(s *situation) { s.mirror = Presence }, slot.Info{Name: "a"}, []Real{held}, []action{{create, "a"}}},
		{"mirror on a new primary", func(s *situation) { s.mirror = Presence }, slot.Info{Name: "a", Real: slot.Mirrored},
			[]Real{held}, []action{{create, "a"}}},
		{"mirror moves and is touched", nil, slot.Info{Name: "a", Real: slot.Mirrored},
			[]Real{{Name: "a", Restart: 500}, held}, []action{{advance, "a"}}},
		{"mirror of somebody else's name", func(s *situation) { s.mirror = Presence }, slot.Info{Name: "a"},
			[]Real{idle, held}, []action{{foreign, "a"}}},
		{"mirror of a logical slot's name", func(s *situation) { s.mirror = Presence },
			slot.Info{Name: "a", Real: slot.Mirrored}, []Real{{Name: "a", Logical: true}}, []action{{foreign, "a"}}},
		{"another member's mirror", func(s *situation) { s.mirror = Presence }, members, []Real{idle, held}, []action{{follow, "a"}}},
		{"another member's mirror is missing", func(s *situation) { s.mirror = Presence }, members, []Real{held}, nil},
		{"another member's mirror is lost", func(s *situation) { s.mirror = Presence }, members,
			[]Real{{Name: "a", Lost: true}, held}, nil},
		{"another member's mirror is ahead", func(s *situation) { s.mirror = Presence }, members,
			[]Real{{Name: "a", Restart: 501}, held}, nil},
		{"another member's slot", func(s *situation) { s.mirror = Presence }, slot.Info{Name: "a", Foreign: true},
			[]Real{idle, held}, nil},
		{"temporary", func(s *situation) { s.mirror = Presence }, slot.Info{Name: "a", Temporary: true}, []Real{held}, nil},
		{"the proxy's own", func(s *situation) { s.mirror = Presence }, slot.Info{Name: own}, nil, nil},
	} {
		s := base
		s.virtual, s.real = []slot.Info{c.own}, map[string]Real{}
		for _, r := range c.real {
			s.real[r.Name] = r
		}
		if c.change != nil {
			c.change(&s)
		}
		var got []action
		for _, todo := range s.decide() {
			got = append(got, todo.action)
			if todo.at != s.target {
				t.Errorf("%s: at %s", c.name, todo.at)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, expected %v", c.name, got, c.want)
		}
	}
}

func TestFull(t *testing.T) {
	for _, c := range []struct{ xid, next, want uint64 }{
		{0, 1000, 0}, {735, 1000, 735}, {1000, 1000, 1000}, {0xfffffff0, 5<<32 | 7, 4<<32 | 0xfffffff0}, {3, 5<<32 | 7, 5<<32 | 3},
	} {
		if got := full(uint32(c.xid), copyboth.FullXID(c.next)); uint64(got) != c.want {
			t.Errorf("%d before %d: %d, expected %d", c.xid, c.next, got, c.want)
		}
	}
}
