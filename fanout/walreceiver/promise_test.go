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

// An emptied store may have promised anything. While it begins anew the promise is noted as one of its new WAL before more
// is reported. It ends at what is received once that has all again, for which nothing is written. One that has an end
// keeps it.
func TestPromiseWithoutEnd(t *testing.T) {
	m := &promises{promised: walstore.PromisedAll}
	m.pos.Timeline, m.pos.Received = 2, 500
	p := newPromise(m)
	p.outdate()
	if p.raise(10, t0) {
		t.Error("reported by the promise of an earlier life")
	}
	if err := p.cover(10, t0); err != nil || m.timeline != 2 || p.highest() != walstore.PromisedAll || !p.raise(20, t0) {
		t.Errorf("%v, timeline %s, up to %s", err, m.timeline, p.highest())
	}
	n := m.fsyncs
	p.end()
	if p.highest() != 500 || m.promised != walstore.PromisedAll || !p.raise(510, t0) || p.highest() != 510 || m.fsyncs != n {
		t.Errorf("it ends at %s, on disk at %s, after %d fsyncs", p.highest(), m.promised, m.fsyncs-n)
	}
	m.pos.Received = 600
	if p.end(); p.highest() != 510 {
		t.Errorf("it had an end, and has another one: %s", p.highest())
	}
	if err := p.narrow(); err != nil || m.promised != 510 {
		t.Errorf("narrowed to %s, %v", m.promised, err)
	}
	nothing := newPromise(new(promises))
	if nothing.outdate(); nothing.stale {
		t.Error("nothing was promised, and is to be noted")
	}
}
