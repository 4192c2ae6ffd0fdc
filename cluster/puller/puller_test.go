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
	source    Source
	otherWAL  string
}

// What members of version 1 say, all of it.
const (
	saysYes = "\x01\x01"
	saysNo  = "\x01\x00"
)

func newSite(t *testing.T, follow bool) *site {
	t.Helper()
	s := &site{heard: []link.PeerStatus{{Name: "b", Heard: time.Now()}}}
	s.Puller = New(Options{
		Node: "a", Follow: follow, Outbox: link.NewOutbox(), Logger: slog.New(slog.DiscardHandler),
		Heard:    func() []link.PeerStatus { return s.heard },
		OtherWAL: func(member string) bool { return member == s.otherWAL },
		System:   func() lsn.SystemID { return 7 },
		Source:   func() Source { return s.source },
		Streams:  func() (string, bool) { return s.member, s.streaming },
		Changed:  func() { s.changed++ },
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
	if s.said.pulls {
		t.Error("says that it pulls while it follows b")
	}
}

// TestOtherWALIsNotFollowed: a member whose WAL is other WAL is as good as silent, whatever it says.
func TestOtherWALIsNotFollowed(t *testing.T) {
	s := newSite(t, true)
	s.otherWAL = "b"
	if err := s.Sink(nil).Item("b", 1, link.ID{Kind: itemPulls}, []byte(saysYes)); err != nil {
		t.Fatal(err)
	}
	for now := time.Now(); !s.choice.Known; now = now.Add(time.Second) {
		s.look(now)
	}
	if !s.choice.Primary() {
		t.Errorf("chose %+v", s.choice)
	}
}

// TestHears: a member vouches for the primary while it says that it streams from it and hears it, and not otherwise.
func TestHears(t *testing.T) {
	s := newSite(t, true)
	for name, c := range map[string]struct {
		said  says
		hears bool
	}{
		"it streams":              {says{pulls: true}, true},
		"its stream is silent":    {says{pulls: true, silent: time.Now()}, false},
		"it does not stream":      {says{connected: true}, false},
		"it is not connected now": {says{}, false},
	} {
		if s.hear("b", c.said); s.Hears("b") != c.hears {
			t.Errorf("%s: %t", name, !c.hears)
		}
	}
	if s.Hears("c") {
		t.Error("c has said nothing")
	}
}

// TestHeardAt: the sign of life of a member that streams from the primary is none of the primary.
func TestHeardAt(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		member string
		at     time.Time
		silent time.Time // as b says
		want   time.Time
	}{
		"the primary":               {"", now, now.Add(-time.Minute), now},
		"nothing has come":          {"b", time.Time{}, now.Add(-time.Minute), time.Time{}},
		"b hears it":                {"b", now, time.Time{}, now},
		"b has not for a minute":    {"b", now, now.Add(-time.Minute), now.Add(-time.Minute)},
		"b has not since this came": {"b", now.Add(-time.Hour), now.Add(-time.Minute), now.Add(-time.Hour)},
	} {
		s := newSite(t, true)
		s.hear("b", says{pulls: true, silent: c.silent})
		if got := s.HeardAt(c.member, c.at); !got.Equal(c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestSaysThatItPulls(t *testing.T) {
	s := newSite(t, false)
	s.look(time.Now())
	if c, _ := s.Wait(t.Context()); !c.Primary() || s.said.pulls {
		t.Fatalf("chose %+v, says %v before WAL came", c, s.said)
	}
	s.streaming = true
	s.look(time.Now())
	if !s.said.pulls {
		t.Error("does not say that it pulls")
	}
	s.streaming = false
	s.look(time.Now())
	if s.said.pulls {
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
	if err := k.Item("b", 2, link.ID{Kind: itemPulls}, []byte(saysYes+"more")); err != nil || !s.Puller.heard["b"].pulls {
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
		if err := k.Item("b", 1, link.ID{Kind: itemPulls}, []byte(saysYes)); err != nil || !s.Puller.heard["b"].pulls {
			t.Fatalf("%v, heard %v", err, s.Puller.heard)
		}
		if end(); s.Puller.heard["b"].pulls {
			t.Error("b is still believed to pull")
		}
	}
	_ = k.Item("b", 1, link.ID{Kind: 1}, nil)
	k.Gone("b", link.ID{Kind: 2})
	if others.items != 1 || others.gone != 1 || others.conflicts != 1 {
		t.Errorf("the others' sink got %+v", *others)
	}
}

// What a member says beside that it pulls is from version 2 on, and outlives the way there and back.
func TestSays(t *testing.T) {
	now := time.Now()
	for _, s := range []says{
		{}, {pulls: true}, {letsGo: true}, {connected: true, system: 7 << 60, timeline: 3},
		{pulls: true, connected: true, system: 1, timeline: 2, silent: now.Add(-90 * time.Second)}, {stuck: true},
		{pulls: true, connected: true, system: 1, timeline: 2, tells: true, covers: 1<<40 + 7}, {tells: true},
	} {
		b := s.append(nil, now)
		if got, err := read(append(b, "of a release to come"...), 2, now); err != nil || got != s {
			t.Errorf("%+v became %+v, %v", s, got, err)
		}
		if got, err := read(b[:olderSize], 1, now); err != nil || got != (says{pulls: s.pulls}) {
			t.Errorf("%+v became %+v in version 1, %v", s, got, err)
		}
		if _, err := read(b, 1, now); err == nil {
			t.Errorf("%+v is too long for version 1", s)
		}
	}
	older := says{stuck: true, tells: true, covers: 5}.append(nil, now)
	if got, err := read(older[:flagsSize], 2, now); err != nil || got != (says{stuck: true}) {
		t.Errorf("what an older release says became %+v, %v", got, err)
	}
	a, b := says{pulls: true, silent: now}, says{pulls: true, silent: now.Add(time.Second)}
	if !a.same(b) || a.same(says{pulls: true}) {
		t.Error("a silence that goes on is news, or one that begins is none")
	}
}

// Nothing that a relay says by itself tells whether its source lives: what it says of that does.
func TestSilentSource(t *testing.T) {
	s := newSite(t, true)
	if _, silent := s.Silent("b"); silent {
		t.Error("b is silent and has said nothing")
	}
	since := time.Now().Add(-time.Minute)
	s.hear("b", says{pulls: true, silent: since})
	if at, silent := s.Silent("b"); !silent || !at.Equal(since) {
		t.Errorf("silent %v, since %v", silent, at)
	}
	s.hear("b", says{pulls: true})
	if _, silent := s.Silent("b"); silent {
		t.Error("b's source is back")
	}
	s.hear("b", says{})
	if at, silent := s.Silent("b"); !silent || time.Since(at) > time.Minute {
		t.Errorf("b does not pull any more: %v, %v", silent, at)
	}
}

// A member that follows one which brings nothing goes to the primary, if it is connected to that: by what that one says of
// its disk, or of its stream.
func TestRelievesWhoBringsNothing(t *testing.T) {
	for name, c := range map[string]struct {
		says    func(now time.Time) says
		goes    bool
		reaches bool
	}{
		"it covers less": {func(time.Time) says {
			return says{pulls: true, connected: true, system: 7, timeline: 1, tells: true, covers: 5}
		}, true, true},
		"it covers the same": {func(time.Time) says {
			return says{pulls: true, connected: true, system: 7, timeline: 1, tells: true, covers: 10}
		}, false, true},
		"it is stuck":              {func(time.Time) says { return says{pulls: true, stuck: true} }, true, true},
		"it is silent for 9 s":     {func(now time.Time) says { return says{pulls: true, silent: now.Add(-9 * time.Second)} }, true, true},
		"it is silent for 5 s":     {func(now time.Time) says { return says{pulls: true, silent: now.Add(-5 * time.Second)} }, false, true},
		"the primary is not there": {func(time.Time) says { return says{pulls: true, stuck: true} }, false, false},
		"it brings WAL":            {func(time.Time) says { return says{pulls: true} }, false, true},
	} {
		s := newSite(t, true)
		s.source = Source{Connected: c.reaches, System: 7, Timeline: 1, Covers: 10}
		s.hear("b", says{pulls: true})
		now := time.Now()
		s.look(now)
		s.member, s.streaming = "b", true
		for range 2 * patience / lookInterval {
			now = now.Add(lookInterval)
			s.look(now)
		}
		s.hear("b", c.says(now))
		if s.look(now); s.Puller.heard["b"].tells { // others are judged at once
			s.look(now.Add(lagAfter))
		}
		if s.choice.Primary() != c.goes {
			t.Errorf("%s: chose %s", name, s.choice)
		}
	}
}
