package walsource

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestEmptiedStoreLooksAtWhoeverSends: a member, a proxy or a standby may follow a primary that lost WAL. An emptied store
// takes nothing from one that has other WAL than it had, unless the operator accepts that. It takes the right WAL.
func TestEmptiedStoreLooksAtWhoeverSends(t *testing.T) {
	for name, as := range map[string]func(x *lostAndPromoted){
		"a member":  func(x *lostAndPromoted) { x.member, x.srv.virtual = "b", true },
		"a proxy":   func(x *lostAndPromoted) { x.srv.virtual = true },
		"a standby": func(x *lostAndPromoted) { x.srv.settings = map[string]string{inHotStandby: "on"} },
	} {
		for _, promoted := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				x := promotedLost(t, true)
				if x.as = as; !promoted {
					x.srv.timeline, x.srv.history = 1, lsn.History{Timeline: 1}
				}
				wrong := x.wal
				for range 2 {
					if e := x.try(); e == nil || e.Of != 1 || e.Lost == promoted || x.looks != 1 {
						t.Fatalf("%s: with other WAL it is refused for %+v, looked %d times", name, e, x.looks)
					}
				}
				x.wal = bytes.Clone(wrong)
				x.wal[len(x.wal)-100]--
				time.Sleep(partingDelay)
				if e := x.try(); e != nil || !x.recognised {
					t.Errorf("%s: the right one is refused for %+v", name, e)
				}
				x.wal = wrong
				if x.try() == nil {
					t.Errorf("%s: the wrong one is back, and followed", name)
				}
				x.word.said = x.word.waits
				if e := x.try(); e != nil || x.obeyed == nil {
					t.Errorf("%s: accepted, and refused for %+v", name, e)
				}
				if err := x.startStream(startPoint{1, senderStart}, x.srv); err != nil || len(x.gave) != 1 || x.gave[0].Of != 1 {
					t.Errorf("%s: accepted, and %+v is given up, %v", name, x.gave, err)
				}
			})
		}
	}
}
