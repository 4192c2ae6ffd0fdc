package gate

import (
	"testing"
	"testing/synctest"
	"time"
)

// begun lets a log-in of address from come as far as the second question: it has answered the first one, and thinks.
func begun(t *testing.T, g *Gate, from string) (k *Ticket, reclaimed <-chan struct{}) {
	t.Helper()
	k = g.Enter(from, "")
	synctest.Wait()
	select {
	case <-k.Granted():
	default:
		return k, nil
	}
	g.Spoke(k)
	gone := make(chan struct{})
	g.Yield(k, time.Now().Add(5*time.Second), time.Time{}, func() { g.Leave(k); close(gone) })
	return k, gone
}

// TestKnownClientsThinkApart: log-ins of an address that logged in last time are not limited by the places while they
// answer, but by half of the walsenders that the primary has left. Strangers and silent ones are limited by the
// places.
func TestKnownClientsThinkApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for primary, apart := range map[int]int{3: 0, 10: 3, 50: 16, 1000: 16} {
			g := New(2)
			g.SetPrimaryMax(primary)
			g.Know("known")
			var all []*Ticket
			come := func(from string, n int) {
				for range n {
					k, _ := begun(t, g, from)
					all = append(all, k)
				}
			}
			want := func(now Status) {
				t.Helper()
				now.Limit = 2
				if s := g.Status(); s != now {
					t.Errorf("max_wal_senders %d: %+v, want %+v", primary, s, now)
				}
			}
			come("stranger", 3)
			want(Status{Running: 2, Waiting: 1})
			for _, k := range all {
				g.Leave(k)
			}
			come("known", 30)
			want(Status{Running: 2, Apart: apart, Waiting: 28 - apart})
			if apart > 0 { // which is not given up by answering
				for _, k := range all[3:] {
					g.Busy(k)
				}
				want(Status{Running: 2, Apart: apart, Waiting: 28 - apart})
			}
			for _, k := range all {
				g.Leave(k)
			}
			want(Status{})
		}
	})
}

// TestSilenceApartIsShort: a client that is apart and says nothing is no better off than others. It goes when it is
// due and the walreceiver waits, or somebody else does, and is a stranger then.
func TestSilenceApartIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(2)
		g.SetPrimaryMax(10)
		g.Know("known")
		var gone []<-chan struct{}
		for range 5 {
			_, c := begun(t, g, "known")
			gone = append(gone, c)
		}
		if s := g.Status(); s.Running != 2 || s.Apart != 3 {
			t.Fatalf("%+v", s)
		}
		began := time.Now()
		last, _ := begun(t, g, "known")
		<-last.Granted()
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("one who waits gets a place after %v", took)
		}
		g.WalreceiverWaiting(true)
		for _, c := range gone {
			<-c
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("the walreceiver gets all after %v", took)
		}
		g.WalreceiverWaiting(false)
		g.Leave(last)
		for range 5 {
			begun(t, g, "known")
		}
		if s := g.Status(); s.Running != 2 || s.Apart != 0 {
			t.Errorf("those that sat are no strangers: %+v", s)
		}
	})
}
