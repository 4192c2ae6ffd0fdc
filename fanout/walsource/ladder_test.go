package walsource

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/fanout/backfill"
	"github.com/replproxy/replproxy/fanout/walstore"
)

// place is a source of the test's own.
type place struct {
	rung Rung
	conn Conn
	err  error
	wal  string // "": no segments
}

func (p *place) Rung() Rung                                              { return p.rung }
func (p *place) Stream(context.Context, map[string]string) (Conn, error) { return p.conn, p.err }
func (p *place) String() string                                          { return string(p.rung) }

func (p *place) Segments(ahead bool) backfill.Source {
	if p.wal == "" || ahead && p.rung != RungArchive {
		return nil
	}
	return p
}

func (p *place) Open(context.Context, walstore.Identity, backfill.Run) (io.ReadCloser, error) {
	if p.err != nil {
		return nil, p.err
	}
	return io.NopCloser(strings.NewReader(p.wal)), nil
}

// TestLadder: the first source that has a stream gives it, each is asked for segments in its order, and the status says
// what came of that.
func TestLadder(t *testing.T) {
	fenced, chosen := &place{rung: RungFenced}, &place{rung: RungChosen}
	member, primary := &place{rung: RungMember, wal: "abc"}, &place{rung: RungPrimary, wal: "d"}
	archive := &place{rung: RungArchive}
	l := NewLadder(archive, primary, member, chosen, fenced)
	streams := func() (r Rung) {
		for _, s := range l.Status() {
			if s.Streams {
				r += s.Rung
			}
		}
		return r
	}
	connect := func(want Rung, wantConn bool) {
		t.Helper()
		if c, err := l.Connect(t.Context(), nil); err != nil || (c != nil) != wantConn || streams() != want {
			t.Errorf("%v %v from %q, want %q", c, err, streams(), want)
		}
	}
	connect(RungPrimary, false)
	chosen.conn = &directory{}
	connect(RungChosen, true)
	fenced.conn = &directory{}
	connect(RungFenced, true)
	fenced.conn, chosen.conn, chosen.err = nil, nil, errors.New("the puller is unknown")
	if _, err := l.Connect(t.Context(), nil); err == nil || l.Status()[1].LastError == "" {
		t.Error("who was chosen and can't be reached is not passed over in silence")
	}
	names := func(all []backfill.Source) (s string) {
		for _, x := range all {
			s += x.String() + ", "
		}
		return s
	}
	if got := names(l.Segments()); got != "any member, primary, " {
		t.Errorf("segments from %s", got)
	}
	archive.wal = "e"
	if got := names(l.Segments()); got != "any member, primary, archive, " {
		t.Errorf("segments from %s", got)
	}
	if got := names(l.segments(true)); got != "archive, " {
		t.Errorf("the store is continued from %s", got)
	}
	wal, err := l.Segments()[0].Open(t.Context(), walstore.Identity{}, backfill.Run{})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(wal); err != nil || string(b) != "abc" || l.Status()[2].Fetched != 3 {
		t.Errorf("%q %v %+v", b, err, l.Status()[2])
	}
	primary.err = errors.New("no walsender is free")
	if _, err := l.Segments()[1].Open(t.Context(), walstore.Identity{}, backfill.Run{}); err == nil ||
		l.Status()[3].LastError != "no walsender is free" {
		t.Errorf("%v %+v", err, l.Status()[3])
	}
}

// TestSegmentSources: members and the primary give what is older than the store, an archive also what continues it, and
// none of them a stream.
func TestSegmentSources(t *testing.T) {
	archive := NewArchive(t.TempDir(), "")
	older := &OlderSegments{On: RungMember, From: &backfill.Members{}}
	for _, s := range []Source{archive, older} {
		if c, err := s.Stream(t.Context(), nil); c != nil || err != nil {
			t.Errorf("%s streams: %v, %v", s.Rung(), c, err)
		}
	}
	if archive.Segments(false) != nil || archive.Segments(true) != nil {
		t.Error("an archive without a command has segments")
	}
	if older.Segments(false) != older.From || older.Segments(true) != nil {
		t.Error("a member does not give what is older than the store, or gives what continues it")
	}
	archive.SetCommand("cp %f %p")
	back, ok := archive.Segments(false).(*backfill.Archive)
	ahead, too := archive.Segments(true).(*backfill.Archive)
	if !ok || !too || back.Command != "cp %f %p" || ahead.Command != back.Command || back.Prefix == ahead.Prefix {
		t.Errorf("%+v, %+v: two that run at once need a file each", back, ahead)
	}
}
