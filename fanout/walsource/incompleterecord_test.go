package walsource

import (
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore"
)

// A primary that has less than it sent has crashed, and has given up the record that was not whole. A server in
// recovery or a proxy that has less says nothing. A primary that lacks a whole record has not just crashed.
func TestGivenUpRecord(t *testing.T) {
	have := walstore.Positions{Timeline: 2, Oldest: 0x1000, Complete: 0x8000, Received: 0x9000}
	primary := server{timeline: 2, xlogpos: 0x8000, settings: map[string]string{inHotStandby: "off"}}
	on := func(f func(*server, *walstore.Positions)) bool {
		srv, pos := primary, have
		f(&srv, &pos)
		return givenUpRecord(pos, srv)
	}
	for name, c := range map[string]struct{ got, want bool }{
		"less":               {on(func(*server, *walstore.Positions) {}), true},
		"a part of it":       {on(func(s *server, _ *walstore.Positions) { s.xlogpos = 0x8fff }), true},
		"all of it":          {on(func(s *server, _ *walstore.Positions) { s.xlogpos = 0x9000 }), false},
		"a record less":      {on(func(s *server, _ *walstore.Positions) { s.xlogpos = 0x7fff }), false},
		"another timeline":   {on(func(s *server, _ *walstore.Positions) { s.timeline = 3 }), false},
		"another proxy":      {on(func(s *server, _ *walstore.Positions) { s.virtual = true }), false},
		"no record is whole": {on(func(_ *server, p *walstore.Positions) { p.Complete = 0x1000 }), false},
		"a standby": {on(func(s *server, _ *walstore.Positions) {
			s.settings = map[string]string{inHotStandby: "on"}
		}), false},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v", name, c.got)
		}
	}
}
