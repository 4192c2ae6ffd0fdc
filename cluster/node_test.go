package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// fakeStore is a store that is moved by hand.
type fakeStore struct {
	mu    sync.Mutex
	p     Positions
	idle  bool
	from  string        // the member that it streams from
	other atomic.Uint64 // its bytes are others'
	cold  atomic.Bool   // hashes are to be had from the disk only
	bad   atomic.Bool   // nothing can be read
	long  lsn.LSN       // of each record; 0: one ends everywhere
	moved chan struct{}
}

func newFakeStore(end lsn.LSN) *fakeStore {
	s := &fakeStore{moved: make(chan struct{}, 1)}
	s.move(1, end)
	return s
}

func (s *fakeStore) move(t lsn.TimelineID, end lsn.LSN) {
	s.mu.Lock()
	s.p = Positions{
		System: 7, Timeline: t, Received: end, Written: end, Flushed: end, Complete: end, SegSize: 1 << 20, HistoryHash: 1, FirstWAL: vote.Fingerprint{Never: true},
	}
	s.mu.Unlock()
	select {
	case s.moved <- struct{}{}:
	default:
	}
}

func (s *fakeStore) Positions() Positions {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.p
}

func (s *fakeStore) Streams() (string, bool) { return s.from, !s.idle }
func (s *fakeStore) Moved() <-chan struct{}  { return s.moved }
func (s *fakeStore) Learn()                  {}

// HashAt names the same bytes at all stores whose other is the same.
func (s *fakeStore) HashAt(t lsn.TimelineID, at lsn.LSN) (uint64, bool) {
	p := s.Positions()
	return uint64(at) ^ s.other.Load(), t == p.Timeline && at <= p.Received && !s.cold.Load()
}

func (s *fakeStore) ReadHash(_ lsn.TimelineID, at lsn.LSN) (uint64, error) {
	if at > s.Positions().Received || s.bad.Load() {
		return 0, errors.New("not received")
	}
	return uint64(at) ^ s.other.Load(), nil
}

func (s *fakeStore) LastComplete(_ lsn.TimelineID, at lsn.LSN) (lsn.LSN, error) {
	if s.bad.Load() {
		return 0, errors.New("not read")
	}
	return at - at%max(s.long, 1), nil
}

// within puts the last complete record's end below what is received.
func (s *fakeStore) within(received, complete lsn.LSN) {
	s.move(1, received)
	s.mu.Lock()
	s.p.Complete = complete
	s.mu.Unlock()
}

func (s *fakeStore) Sealed(int) []lsn.Print { return nil }

func newNode(t *testing.T, rule string, store Store) *Node {
	t.Helper()
	n, err := New(Options{Name: "proxy", Rule: vote.RuleText{Names: rule}, Store: store})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// report is a standby that has caught up and has everything up to at.
func report(n *Node, id uint64, timeline lsn.TimelineID, at lsn.LSN) {
	n.Ack(ledger.Ack{Incarnation: id, Timeline: timeline, Sent: at, Progress: lsn.Progress{Write: at, Flush: at, Apply: at}, Streaming: true})
}

func wantLimits(t *testing.T, n *Node, write, flush, apply lsn.LSN) {
	t.Helper()
	if p, _ := n.Reportable(); p != (lsn.Progress{Write: write, Flush: flush, Apply: apply}) {
		t.Fatalf("limits %+v, want %v %v %v", p, write, flush, apply)
	}
}

func TestWithoutRule(t *testing.T) {
	n := newNode(t, "", newFakeStore(100))
	id := n.Attach("s1")
	report(n, id, 1, 90)
	wantLimits(t, n, ledger.Max, ledger.Max, 0)
	if v := n.SyncStates()[id]; v.SyncState != Async || v.Priority != 0 {
		t.Errorf("%+v", v)
	}
}

func TestRuleCovers(t *testing.T) {
	store := newFakeStore(100)
	n := newNode(t, "ANY 2 (s1, S2, s3)", store)
	s1, s2 := n.Attach("s1"), n.Attach("s2")
	wantLimits(t, n, 0, 0, 0)
	report(n, s1, 1, 90)
	wantLimits(t, n, 0, 0, 0)
	report(n, s2, 1, 80)
	wantLimits(t, n, 80, 80, 80)
	n.Ack(ledger.Ack{Incarnation: s2, Timeline: 1, Sent: 100, Progress: lsn.Progress{Write: 95, Flush: 85, Apply: 10}, Streaming: true})
	wantLimits(t, n, 90, 85, 80)
	n.Gone(s2)
	wantLimits(t, n, 0, 0, 0)
}

// TestWithdraw: this node's store votes no more, and what rests on it waits; then it votes again.
func TestWithdraw(t *testing.T) {
	store := newFakeStore(100)
	n := newNode(t, "ANY 1 (proxy, s1)", store)
	standing := func() ledger.Standing {
		for _, v := range n.Status().Voters {
			if v.Kind == vote.Store {
				return v.Standing
			}
		}
		return ""
	}
	wantLimits(t, n, 100, 100, 0)
	n.saveKnown()
	n.Withdraw(true)
	wantLimits(t, n, 0, 0, 0)
	if s := n.Status(); standing() != ledger.Withdrawn || !s.Withdrawn || s.Levels[1].Satisfiable {
		t.Errorf("%q, %+v", standing(), s)
	}
	store.move(1, 200)
	report(n, n.Attach("s1"), 1, 90)
	wantLimits(t, n, 90, 90, 90) // a standby still counts
	n.Withdraw(false)
	wantLimits(t, n, 200, 200, 90)
	if standing() != ledger.Counts {
		t.Errorf("%q", standing())
	}
}

// A position of the timeline before says nothing about the present one, whoever asks first.
func TestTimelineChange(t *testing.T) {
	store := newFakeStore(100)
	n := newNode(t, "s1", store)
	id := n.Attach("s1")
	report(n, id, 1, 90)
	wantLimits(t, n, 90, 90, 90)
	store.move(2, 70)
	wantLimits(t, n, 0, 0, 0)
	report(n, id, 1, 95) // still on its way
	wantLimits(t, n, 0, 0, 0)
	report(n, id, 2, 70)
	wantLimits(t, n, 0, 0, 0) // the rule covers all that the fork has left, and that is not durable
	n.saveKnown()
	wantLimits(t, n, 70, 70, 70)
}

// This node's store votes under the node's name, and nothing but its fsync makes it.
func TestOwnStoreVotes(t *testing.T) {
	store := newFakeStore(100)
	n := newNode(t, "FIRST 2 (proxy, *)", store)
	report(n, n.Attach("s1"), 1, 90)
	wantLimits(t, n, 90, 90, 0)
	store.mu.Lock()
	store.p.Flushed = 40
	store.mu.Unlock()
	wantLimits(t, n, 90, 90, 0) // within a timeline a store's flush never goes back
	n = newNode(t, "FIRST 2 (proxy, *)", store)
	report(n, n.Attach("s1"), 1, 90)
	wantLimits(t, n, 90, 40, 0)
	store.idle = true
	n = newNode(t, "FIRST 2 (proxy, *)", store)
	report(n, n.Attach("s1"), 1, 90)
	wantLimits(t, n, 0, 0, 0) // nothing comes in: no candidate
}

// A session under the proxy's own name is no voter: its store is (ruling R21).
func TestOwnNameIsNoStandby(t *testing.T) {
	n := newNode(t, "ANY 2 (proxy, s1)", newFakeStore(100))
	impostor := n.Attach("Proxy")
	report(n, impostor, 1, 100)
	report(n, n.Attach("s1"), 1, 50)
	wantLimits(t, n, 50, 50, 0)
	if v := n.SyncStates()[impostor]; v.SyncState != Async {
		t.Errorf("%+v", v)
	}
}

func TestSyncStates(t *testing.T) {
	for _, c := range []struct{ rule, want string }{
		{"FIRST 1 (s1, s2)", "s1 sync 1; s2 potential 2; s3 async 0; s4 async 0"},
		{"FIRST 2 (s3, s2, s1)", "s1 potential 3; s2 sync 2; s3 sync 1; s4 async 0"},
		{"FIRST 3 (s1, s2)", "s1 sync 1; s2 sync 2; s3 async 0; s4 async 0"},
		{"ANY 1 (s1, s3)", "s1 quorum 1; s2 async 0; s3 quorum 1; s4 async 0"},
		{"ANY 1 (*)", "s1 quorum 1; s2 quorum 1; s3 quorum 1; s4 potential 1"},
		{"FIRST 1 (s4, *)", "s1 sync 2; s2 potential 2; s3 potential 2; s4 potential 1"},
	} {
		n := newNode(t, c.rule, newFakeStore(100))
		ids := []uint64{n.Attach("s1"), n.Attach("s2"), n.Attach("s3"), n.Attach("s4")}
		for _, id := range ids[:3] {
			report(n, id, 1, 90)
		}
		n.Ack(ledger.Ack{Incarnation: ids[3], Timeline: 1, Sent: 50, Progress: lsn.Progress{Write: 50, Flush: 50}}) // catches up
		var got []string
		states := n.SyncStates()
		for _, id := range ids {
			got = append(got, fmt.Sprintf("%s %s %d", states[id].Name, states[id].SyncState, states[id].Priority))
		}
		if strings.Join(got, "; ") != c.want {
			t.Errorf("%s: %s, want %s", c.rule, strings.Join(got, "; "), c.want)
		}
	}
}

// TestWhyItWaits: the answers of Status, with the time that somebody has been behind.
func TestWhyItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore(100)
		n := newNode(t, "ANY 2 (s1, s2, s3)", store)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- n.Run(ctx) }()
		s1, s2 := n.Attach("s1"), n.Attach("s2")
		report(n, s1, 1, 100)
		time.Sleep(3 * time.Second)
		s := n.Status()
		if l := s.Levels[1]; l.Satisfiable || !strings.Contains(l.Why, "has 1 candidate") || strings.Contains(l.Why, "candidates") || l.Position != 0 {
			t.Errorf("one of two: %+v", l)
		}
		if v := s.Voters[len(s.Voters)-1]; v.Standing != Absent || v.Name != "s3" || v.Priority != 1 {
			t.Errorf("nobody is s3: %+v", v)
		}
		report(n, s2, 1, 100)
		s = n.Status()
		if l := s.Levels[2]; !l.Satisfiable || !l.Since.IsZero() || l.Position != 100 {
			t.Errorf("both: %+v", l)
		}
		// s2 stays behind while s1 and the store go on.
		for i := range 10 {
			at := lsn.LSN(110 + 10*i)
			store.move(1, at)
			report(n, s1, 1, at)
			time.Sleep(time.Second)
		}
		s = n.Status()
		for _, v := range s.Voters {
			age := time.Since(v.Since[1])
			if v.Name == "s1" && !v.Since[1].IsZero() || v.Name == "s2" && (age < 8*time.Second || age > 11*time.Second) {
				t.Errorf("%s has been behind for %v", v.Name, age)
			}
		}
		if l := s.Levels[1]; l.Position != 100 || time.Since(l.Since) < 8*time.Second {
			t.Errorf("level %+v", l)
		}
		cancel()
		<-ended
	})
}

// Whoever reports upstream is woken by everything that can raise a limit.
func TestChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore(100)
		n := newNode(t, "ANY 2 (proxy, s1)", store)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- n.Run(ctx) }()
		id := n.Attach("s1")
		report(n, id, 1, 100)
		<-n.Changed()
		wantLimits(t, n, 100, 100, 0)
		store.mu.Lock()
		store.p.Received = 120 // nothing of it is written here
		store.mu.Unlock()
		report(n, id, 1, 120)
		synctest.Wait()
		select {
		case <-n.Changed():
		default:
			t.Fatal("a report woke nobody")
		}
		wantLimits(t, n, 100, 100, 0)
		store.move(1, 120)
		synctest.Wait()
		select {
		case <-n.Changed():
		default:
			t.Fatal("this proxy's store's fsync woke nobody")
		}
		wantLimits(t, n, 120, 120, 0)
		cancel()
		<-ended
	})
}

// The zone that a commit waits for is named, when nobody in it counts and when it is behind.
func TestZones(t *testing.T) {
	n, err := New(Options{Name: "proxy", Store: newFakeStore(100), Rule: vote.RuleText{
		Names: "ANY 2 (*)", Spread: "ANY 2 (east, west)", Zones: []vote.Zone{
			{Name: "east", Voters: []string{"s1", "s2"}}, {Name: "north", Voters: []string{"s4"}},
			{Name: "west", Voters: []string{"s3"}},
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"s1", "s2"} {
		report(n, n.Attach(name), 1, 100)
	}
	s := n.Status()
	if l := s.Levels[flush]; l.Satisfiable || l.Why != "the rule over zones, ANY 2 (east, west): nobody counts in west" {
		t.Errorf("nobody in the west: %+v", l)
	}
	report(n, n.Attach("s3"), 1, 70)
	wantLimits(t, n, 70, 70, 70)
	s = n.Status()
	var got []string
	for _, z := range s.Zones {
		got = append(got, fmt.Sprintf("%s %v %d %d", z.Name, z.Wanted, z.Candidates, uint64(z.Positions.Flush)))
	}
	if all := strings.Join(got, "; "); all != "east true 2 100; north false 0 0; west true 1 70" {
		t.Error(all)
	}
	if e, w := s.Zones[0].Since[flush], s.Zones[2].Since[flush]; !e.IsZero() || w.IsZero() {
		t.Errorf("east behind since %v, west since %v", e, w)
	}
	if v := s.Voters[2]; v.Name != "s2" || v.Zone != "east" {
		t.Errorf("%+v", v)
	}
}
