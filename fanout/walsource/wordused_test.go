package walsource

import (
	"testing"
	"testing/synctest"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestWordThatIsUsedTakes: the operator accepts a primary that has lost WAL which the store owes, or had before it was
// emptied. The word is used as the stream begins. Then the connection breaks, before a stored record was seen again. The
// same server is not refused once more for the same WAL, as nobody would know that it was given up.
func TestWordThatIsUsedTakes(t *testing.T) {
	for name, empty := range map[string]bool{"the store owes it": false, "the store was emptied": true} {
		for _, promoted := range []bool{!empty, true} { // else the store owes WAL that begins nobody knows where
			synctest.Test(t, func(t *testing.T) {
				x := promotedLost(t, empty)
				if !promoted {
					x.srv.timeline, x.srv.history = 1, lsn.History{Timeline: 1}
				}
				if x.try() == nil {
					t.Fatalf("%s: it is followed", name)
				}
				x.word.said = x.word.waits
				if e := x.try(); e != nil {
					t.Fatalf("%s: accepted, and refused for %+v", name, e)
				}
				if err := x.startStream(startPoint{1, senderStart}, x.srv); err != nil {
					t.Fatal(err)
				}
				if e := x.try(); e != nil {
					t.Errorf("%s, promoted %t: given up, and refused for %+v", name, promoted, e)
				}
				if l := x.lostBy; l != nil {
					t.Errorf("%s, promoted %t: it is shown that %s lost %+v", name, promoted, l.Endpoint, l.LackError)
				}
			})
		}
	}
}
