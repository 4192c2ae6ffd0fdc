package cluster

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/cluster/vote"
)

// A node starts where there is no room to remember that. It neither votes nor reports before it is durable, and nobody
// has to do anything for it.
func TestStartWithoutRoom(t *testing.T) {
	for name, c := range map[string]struct {
		members []string
		rule    string
	}{
		"a member":       {[]string{"b"}, "ANY 1 (s1)"},
		"another rule":   {nil, "ANY 1 (s1, s2)"},
		"one of members": {[]string{"b"}, "ANY 1 (s1, s2)"},
	} {
		for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EIO} {
			t.Run(fmt.Sprint(name, ", ", errno), func(t *testing.T) {
				o := Options{
					Name: "a", Rule: vote.RuleText{Names: "ANY 1 (s1)"}, Store: newFakeStore(100), Members: c.members,
					Outbox: link.NewOutbox(), Dir: t.TempDir(), Timeout: time.Minute,
				}
				first, err := New(o)
				if err != nil {
					t.Fatal(err)
				}
				was := first.ledger.State().Boot
				o.Rule.Names, o.Outbox = c.rule, link.NewOutbox()
				n, err := open(o, func([]byte) error { return errno })
				if errno == syscall.EIO {
					if err == nil {
						t.Error("it started with a memory that is not known")
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				durable := func() uint64 {
					s, err := memory(o.Dir).load()
					if err != nil {
						t.Fatal(err)
					}
					return s.Boot
				}
				n.establishing = false // not what is tested here
				if c.members != nil {
					hears(t, n, "b", stateOf("b", c.rule, 1))
				}
				report(n, n.Attach("s1"), 1, 100)
				for range 2 {
					n.look(time.Now())
					wantLimits(t, n, 0, 0, 0)
					if n.published != 0 || durable() != was {
						t.Fatalf("published %d, durable is boot %d", n.published, durable())
					}
					if err := n.answered(); err == nil {
						t.Error("it is said to be remembered")
					}
				}
				n.save = memory(o.Dir).save
				if err := n.answered(); err != nil {
					t.Fatal(err)
				}
				n.look(time.Now())
				if n.published == 0 || durable() != was+1 || n.ledger.State().Boot != was+1 {
					t.Errorf("published %d, durable is boot %d after %d", n.published, durable(), was)
				}
				if c.members == nil {
					wantLimits(t, n, 100, 100, 100)
				}
			})
		}
	}
}
