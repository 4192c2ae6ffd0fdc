package walsource

import (
	"bytes"
	"testing"
	"testing/synctest"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestWhereALossBeforeAPromotionBegins: it begins where the bytes of the promoted server and the stored ones part. Without
// the operator's word nothing is read. A look that takes the session with it is not repeated, or the word never took.
func TestWhereALossBeforeAPromotionBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := promotedLost(t, false)
		end := x.store.Positions().Complete
		x.try()
		if x.lostSince != lsn.Invalid {
			t.Error("it is looked for before it is accepted")
		}
		x.word.said = x.word.waits
		other := bytes.Clone(x.wal)
		other[40_000]++
		stuck := newSender(x.wal)
		stuck.stuck = senderStart + 20_000
		for _, c := range []struct {
			s      *sender
			at     lsn.LSN
			starts int
		}{
			{newSender(x.wal), end, 1}, {newSender(other), senderStart + 40_000, 1}, {stuck, lsn.Invalid, 1},
			{newSender(x.wal), lsn.Invalid, 0},
		} {
			x.attempt = &attempt{}
			x.srv.known = x.knowledge()
			x.partBefore(t.Context(), c.s, x.srv, x.store.Positions())
			if x.lostSince != c.at || c.s.starts != c.starts {
				t.Errorf("it begins at %s, expected %s, looked %d times", x.lostSince, c.at, c.s.starts)
			}
		}
		if e := x.try(); e != nil || x.obeyed == nil {
			t.Errorf("accepted, and refused for %+v", e)
		}
	})
}
