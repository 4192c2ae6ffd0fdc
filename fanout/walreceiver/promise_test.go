package walreceiver

import (
	"errors"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore"
)

// A store that goes over to another timeline notes that its promise is about that one, before anything is reported there.
// Else one that is emptied later would ask the primary for WAL of the old timeline, nobody knows how far. It does so
// at the first report where the disk refused it before.
func TestPromiseOfANewTimeline(t *testing.T) {
	full := errors.New("no space")
	for name, refused := range map[string]error{"it is noted": nil, "it is not": full} {
		m := new(promises)
		m.pos.Timeline = 1
		p := newPromise(m)
		if err := p.cover(100, t0); err != nil || m.timeline != 1 {
			t.Fatal(m.timeline, err)
		}
		m.pos.Timeline, m.fails = 2, refused
		if err := p.lower(150); !errors.Is(err, refused) || p.highest() != 100 {
			t.Errorf("%s: %v, up to %s", name, err, p.highest())
		}
		if m.timeline != 2 && refused == nil {
			t.Errorf("%s, and the promise is about timeline %s", name, m.timeline)
		}
		if p.raise(160, t0) != (refused == nil) || p.cover(160, t0) == nil != (refused == nil) {
			t.Errorf("%s: reports go on by the old one: up to %s", name, p.highest())
		}
		m.fails = nil
		if err := p.cover(160, t0); err != nil || m.timeline != 2 || m.promised != walstore.PromisedAll || p.highest() != 160 {
			t.Errorf("%s: %v, up to %s of timeline %s", name, err, m.promised, m.timeline)
		}
		if n := m.fsyncs; !p.raise(170, t0) || m.fsyncs != n {
			t.Errorf("%s: the report behind that costs an fsync", name)
		}
	}
	m := new(promises)
	m.pos.Timeline = 2
	if p := newPromise(m); p.lower(150) != nil || m.fsyncs != 0 {
		t.Error("nothing was promised, and is noted")
	}
}
