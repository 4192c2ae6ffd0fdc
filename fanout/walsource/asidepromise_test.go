package walsource

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/knownwal"
)

// TestAsideKeepsThePromise: a primary that lost WAL is accepted, and the store is set aside at the next start. What
// the primary may have stays promised, also where nobody knows since where it lacks WAL. A standby that forked far below,
// and is promoted by mistake, is refused. The primary is followed.
func TestAsideKeepsThePromise(t *testing.T) {
	const size = 1 << 20
	begin := walstoretest.New(walstoretest.Config{SegSize: size}).Start()
	for name, from := range map[string]lsn.LSN{"since where is known": begin + 200_000, "nobody knows since where": lsn.Invalid} {
		g := walstoretest.New(walstoretest.Config{SegSize: size})
		for range 100 {
			g.Record(3000)
		}
		o := walstore.Options{Dir: "/data", FS: vfs.NewMem()}
		open := func() *walstore.Store {
			s, err := walstore.Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		s := open()
		fill(t, s, g)
		if err := s.SetPromised(s.Positions().Complete); err != nil {
			t.Fatal(err)
		}
		word := &wordOf{}
		primary := server{system: g.Source.System, timeline: 1, xlogpos: begin + 210_000, history: lsn.History{Timeline: 1}, seg: size}
		e := &LackError{System: g.Source.System, Timeline: 1, From: from, To: s.Positions().Complete, Of: 1, Lost: true}
		if err := with(t, Options{Store: s, Accept: word}).setAside(e, primary); err == nil {
			t.Fatal("it is followed before the restart")
		}
		_ = s.Close()
		aside := walstore.Aside{Name: "lost", From: lsn.Point{Timeline: 1, LSN: from}, Has: word.aside.Has}
		o.SetAside = func(lsn.Point) (walstore.Aside, error) { return aside, nil }
		s = open()
		r := with(t, Options{Store: s})
		stale := server{system: g.Source.System, timeline: 2, xlogpos: begin + 60_000, history: forkedAt(begin + 50_000), seg: size}
		for _, srv := range []*server{&stale, &primary} {
			srv.known = r.knowledge()
		}
		if err := r.judge(s.Positions(), stale); err == nil {
			t.Errorf("%s: promised is %+v, and a server is followed that left the timeline at %s", name, s.Promised(), begin+50_000)
		}
		if err := r.judge(s.Positions(), primary); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		_ = s.Close()
	}
}

// fill adopts the generator's system in an empty store, and stores and flushes all of its WAL.
func fill(t *testing.T, s *walstore.Store, g *walstoretest.Generator) {
	t.Helper()
	err := s.Adopt(walstore.Identity{System: g.Source.System, SegSize: g.Source.SegSize, ServerMajor: g.Source.Major})
	if err == nil {
		err = s.StartStream(1, g.Start())
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	for _, m := range g.Messages(g.Start(), nil) {
		err = errors.Join(err, s.AppendFrom(t.Context(), m.At, bytes.NewReader(m.Data), len(m.Data)))
	}
	stop()
	if err = errors.Join(err, <-ended); err != nil {
		t.Fatal(err)
	}
}

// TestWhatItMayHaveCounts: nobody knows since where a server lacks WAL that is given up. What members had said of WAL
// that it may have goes on counting, for others. What a member had said of its loss does not.
func TestWhatItMayHaveCounts(t *testing.T) {
	say := func(at lsn.LSN, lost bool) knownwal.Known {
		return knownwal.Known{Point: lsn.Point{Timeline: 1, LSN: at}, By: "b", Acked: !lost, Complete: true, Lost: lost}
	}
	k := knowledge{all: []knownwal.Known{say(0x2000, false), say(0x3000, true), say(0x5000, false), say(0x7000, false)}}
	for _, x := range k.all {
		k.said = append(k.said, x.Point)
	}
	for name, c := range map[string]struct {
		e    LackError
		srv  server
		want []lsn.LSN
	}{
		"a primary that lost it":    {LackError{To: 0x6000, Of: 1, Lost: true}, server{xlogpos: 0x4000, history: lsn.History{Timeline: 1}}, []lsn.LSN{0x3000, 0x5000}},
		"since where is known":      {LackError{From: 0x1000, To: 0x6000, Of: 1, Lost: true}, server{xlogpos: 0x4000, history: lsn.History{Timeline: 1}}, []lsn.LSN{0x2000, 0x3000, 0x5000}},
		"it left that timeline":     {LackError{To: 0x6000, Of: 1}, server{xlogpos: 0x9000, history: forkedAt(0x4000)}, []lsn.LSN{0x3000, 0x5000}},
		"it has none of that WAL":   {LackError{To: 0x6000, Of: 1}, server{xlogpos: 0x4000, history: lsn.History{Timeline: 2}}, []lsn.LSN{0x2000, 0x3000, 0x5000}},
		"it is of another timeline": {LackError{To: 0x6000, Of: 2}, server{xlogpos: 0x4000, history: lsn.History{Timeline: 2}}, nil},
	} {
		if got := k.heardOf(&c.e, c.srv); !slices.Equal(got, c.want) {
			t.Errorf("%s: given up is %v, want %v", name, got, c.want)
		}
	}
}
