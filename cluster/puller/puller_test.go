package puller

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// site is a Puller and the world that it sees.
type site struct {
	*Puller
	member    string // who is streamed from
	streaming bool
	changed   int
	heard     []link.PeerStatus
}

func newSite(t *testing.T, follow bool) *site {
	t.Helper()
	s := &site{heard: []link.PeerStatus{{Name: "b", Heard: time.Now()}}}
	s.Puller = New(Options{
		Node: "a", Follow: follow, Outbox: link.NewOutbox(), Logger: slog.New(slog.DiscardHandler),
		Heard:   func() []link.PeerStatus { return s.heard },
		System:  func() lsn.SystemID { return 7 },
		Streams: func() (string, bool) { return s.member, s.streaming },
		Changed: func() { s.changed++ },
	})
	return s
}

func TestFollowsWhoSaysThatItPulls(t *testing.T) {
	s := newSite(t, true)
	if err := s.Sink(nil).Item("b", 1, link.ID{Kind: itemPulls}, []byte(saysYes)); err != nil {
		t.Fatal(err)
	}
	s.look(time.Now())
	if c, err := s.Wait(t.Context()); err != nil || c != (Choice{true, "b"}) || s.changed != 1 {
		t.Fatalf("chose %+v, %v, told %d times", c, err, s.changed)
	}
	// The old stream, from the primary, is not the one that was chosen.
	s.streaming = true
	s.look(time.Now())
	if s.said {
		t.Error("says that it pulls while it follows b")
	}
}

func TestSaysThatItPulls(t *testing.T) {
	s := newSite(t, false)
	s.look(time.Now())
	if c, _ := s.Wait(t.Context()); !c.Primary() || s.said {
		t.Fatalf("chose %+v, says %v before WAL came", c, s.said)
	}
	s.streaming = true
	s.look(time.Now())
	if !s.said {
		t.Error("does not say that it pulls")
	}
	s.streaming = false
	s.look(time.Now())
	if s.said {
		t.Error("says that it pulls although no WAL comes")
	}
}

func TestWaitEnds(t *testing.T) {
	s := newSite(t, true)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if _, err := s.Wait(ctx); err == nil || err.Error() != "enough" {
		t.Errorf("waited until %v", err)
	}
}

// rest is the sink of the other items.
type rest struct {
	link.Sink
	items, gone, conflicts int
}

func (r *rest) Item(string, int, link.ID, []byte) error { r.items++; return nil }
func (r *rest) Gone(string, link.ID)                    { r.gone++ }
func (r *rest) Conflict(string)                         { r.conflicts++ }

func TestSink(t *testing.T) {
	s, others := newSite(t, true), &rest{}
	k := s.Sink(others)
	for _, bad := range []string{"", "\x01", "\x01\x02", "\x02\x01", saysYes + "\x00"} {
		if k.Item("b", 1, link.ID{Kind: itemPulls}, []byte(bad)) == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	if err := k.Item("b", 2, link.ID{Kind: itemPulls}, []byte(saysYes+"more")); err != nil || !s.pulls["b"] {
		t.Errorf("of a release to come: %v", err)
	}
	if k.Item("b", 1, link.ID{Kind: itemPulls, Num: 1}, []byte(saysYes)) == nil {
		t.Error("an item with a number is accepted")
	}
	for _, end := range []func(){
		func() { k.Gone("b", link.ID{Kind: itemPulls}) },
		func() { k.Conflict("b") },
		func() { _ = k.Item("b", 1, link.ID{Kind: itemPulls}, []byte(saysNo)) },
	} {
		if err := k.Item("b", 1, link.ID{Kind: itemPulls}, []byte(saysYes)); err != nil || !s.pulls["b"] {
			t.Fatalf("%v, pulls %v", err, s.pulls)
		}
		if end(); s.pulls["b"] {
			t.Error("b is still believed to pull")
		}
	}
	_ = k.Item("b", 1, link.ID{Kind: 1}, nil)
	k.Gone("b", link.ID{Kind: 2})
	if others.items != 1 || others.gone != 1 || others.conflicts != 1 {
		t.Errorf("the others' sink got %+v", *others)
	}
}
