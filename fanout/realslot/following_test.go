package realslot

import (
	"errors"
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
)

func TestOnlyTheFollowedServer(t *testing.T) {
	w := server{system: 7000000000000000001, timeline: 26}
	for _, c := range []struct {
		name, system, timeline string
		base                   int
		same                   bool
	}{
		{"SQL", "7000000000000000001", "0000001A", 16, true},
		{"a walsender", "7000000000000000001", "26", 10, true},
		{"another cluster", "7000000000000000002", "0000001A", 16, false},
		{"promoted", "7000000000000000001", "0000001B", 16, false},
		{"not yet there", "7000000000000000001", "00000019", 16, false},
		{"nonsense", "x", "y", 16, false},
		{"no timeline", "7000000000000000001", "", 16, false},
	} {
		err := w.is([]byte(c.system), []byte(c.timeline), c.base)
		if (err == nil) != c.same || err != nil && !errors.Is(err, errNotFollowed) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if err := w.is([]byte("7000000000000000001"), nil, 16); err != nil {
		t.Errorf("in recovery: %v", err)
	}
	if err := w.is(nil, nil, 16); err == nil {
		t.Error("a server that does not tell its system is followed")
	}
}

func TestFollowingBreaks(t *testing.T) {
	on, timeline := true, lsn.TimelineID(1)
	f := Following(func() (upstream.Endpoint, lsn.SystemID, lsn.TimelineID, bool) {
		return upstream.Endpoint{Host: "a"}, 7, timeline, on
	})
	w, err := f.now()
	if err != nil || !f.still(w) {
		t.Fatal(w, err)
	}
	if timeline = 2; f.still(w) {
		t.Error("another timeline")
	}
	timeline, on = 1, false
	if _, err := f.now(); f.still(w) || !errors.Is(err, errNotFollowed) {
		t.Error("no stream", err)
	}
}
