package walsource

import (
	"slices"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/knownwal"
)

// TestGivenUpEnds: what is given up is what members had said until then. What they say later counts, on the same
// timeline and at positions that were lost once.
func TestGivenUpEnds(t *testing.T) {
	said := []knownwal.Known{{Point: lsn.Point{Timeline: 1, LSN: 0x5000000}, By: "b", Acked: true, Complete: true}}
	operator := new(wordOf)
	r := with(t, Options{Store: newMemStore(), Accept: operator, Others: func() ([]knownwal.Known, knownwal.Unheard) { return said, knownwal.Unheard{} }})
	primary := server{timeline: 1, history: lsn.History{Timeline: 1}, xlogpos: 0x3000060}
	k := r.knowledge()
	e := k.lack(primary)
	if e == nil || e.To != 0x5000000 {
		t.Fatalf("%+v", e)
	}
	heard := k.heardOf(e, primary)
	if !slices.Equal(heard, []lsn.LSN{0x5000000}) {
		t.Errorf("heard is %v", heard)
	}
	if err := operator.Use(e, heard, nil); err != nil {
		t.Fatal(err)
	}
	if e := r.knowledge().lack(primary); e != nil {
		t.Errorf("refused again: %v", e)
	}
	said[0].LSN = 0x4000000 // written and acknowledged after it
	if e := r.knowledge().lack(primary); e == nil || e.To != said[0].LSN {
		t.Errorf("an acknowledged commit is lost in silence: %v", e)
	}
}

// TestEmptyStorePromise: what an empty store had reported may end within a record, and all of it is no position.
func TestEmptyStorePromise(t *testing.T) {
	at := lsn.Point{Timeline: 1, LSN: walstore.PromisedAll}
	k := knowledge{all: []knownwal.Known{{Point: at, Acked: true}}}
	if e := k.lack(server{timeline: 1, history: lsn.History{Timeline: 1}, xlogpos: 0x3000060}); e != nil {
		t.Errorf("the own timeline: %v", e)
	}
	e := k.lack(server{timeline: 2, history: lsn.History{Timeline: 2}, xlogpos: 0x3000060})
	if want := "timeline 2 lacks WAL of timeline 1 that may be acknowledged, nobody knows how far"; e == nil || e.Error() != want {
		t.Errorf("another timeline: %v", e)
	}
}
