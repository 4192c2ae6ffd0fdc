package cluster

import (
	"testing"

	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/cluster/loss"
)

// TestTakeBack: WAL that was given up is kept after all. Standbys that have it count again, over restarts and at members.
// That waits for nobody, but it is not said while a member may have served standbys what was written instead.
func TestTakeBack(t *testing.T) {
	for name, c := range map[string]struct {
		says  func(n, b *Node) // what the member b has said
		taken bool
	}{
		"the member has that WAL too": {func(n, b *Node) { saysStatus(t, n, "b", link.Newest, b) }, true},
		"the member was not heard":    {func(n, b *Node) {}, false},
		"the member has given it up": {func(n, b *Node) {
			if err := b.GiveUp(7, 1, 60, 90, nil, false); err != nil {
				t.Fatal(err)
			}
			saysStatus(t, n, "b", link.Newest, b)
		}, false},
	} {
		b, n := openMember(t, t.TempDir(), "", "a"), openMember(t, t.TempDir(), "", "b")
		b.o.Store.(*fakeStore).idle = true
		if err := n.GiveUp(7, 1, 60, 90, []Beyond{{Name: "s1", Timeline: 1, LSN: 90}}, true); err != nil {
			t.Fatal(err)
		}
		n.wantMarked(t, "s1")
		saysStatus(t, b, "a", link.Newest, n)
		if c.says(n, b); !n.AsksFirst(loss.Who{Name: "s2"}) {
			t.Errorf("%s: nobody is asked", name)
		}
		if err := n.TakeBack(1, 60, 90); err != nil {
			t.Fatal(err)
		}
		saysStatus(t, b, "a", link.Newest, n)
		again := openMember(t, n.o.Dir, "", "b")
		for _, m := range []*Node{n, again, b} {
			if asks := m.AsksFirst(loss.Who{Name: "s2"}); asks == c.taken || (len(m.beyond) == 0) != c.taken || n.aside != 0 {
				t.Errorf("%s: %s asks: %t, %v do not count", name, m.o.Name, asks, m.beyond)
			}
		}
	}
}
