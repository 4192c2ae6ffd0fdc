package walstore

import (
	"bytes"
	"context"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// testSeg is the segment size of most tests: the smallest, so that they cross many.
const testSeg = lsn.MinSegSize

func openMem(t testing.TB, fsys FS, change ...func(*Options)) *Store {
	t.Helper()
	o := Options{Dir: "/data", FS: fsys, TailSize: MinTailSize, KeepSize: 1 << 40}
	for _, f := range change {
		f(&o)
	}
	s, err := Open(context.Background(), o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func identityOf(g *walstoretest.Generator) Identity {
	return Identity{System: g.Source.System, SegSize: g.Source.SegSize, ServerMajor: g.Source.Major}
}

func newGen() *walstoretest.Generator {
	return walstoretest.New(walstoretest.Config{SegSize: testSeg})
}

// begin adopts g's system and starts its stream at the start of its WAL.
func begin(t testing.TB, s *Store, g *walstoretest.Generator) {
	t.Helper()
	if err := s.Adopt(identityOf(g)); err != nil {
		t.Fatalf("Adopt: %v", err)
	}
	start(t, s, g.Timeline(), g.Start())
}

func start(t testing.TB, s *Store, tli lsn.TimelineID, at lsn.LSN) {
	t.Helper()
	if err := s.StartStream(tli, at); err != nil {
		t.Fatalf("StartStream(%s, %s): %v", tli, at, err)
	}
}

// send appends g's WAL from from on, writing as the tail fills.
func send(t testing.TB, s *Store, g *walstoretest.Generator, from lsn.LSN) {
	t.Helper()
	for _, m := range g.Messages(from, nil) {
		appendMessage(t, s, m)
		for more, err := s.writeStep(); more; more, err = s.writeStep() {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// store sends g's WAL from from on, and has all of it flushed.
func store(t testing.TB, s *Store, g *walstoretest.Generator, from lsn.LSN) {
	t.Helper()
	send(t, s, g, from)
	drain(t, s)
}

// receiveAgain has a start go on as a walreceiver does, from the beginning of the segment of the store's end to g's end.
func receiveAgain(t testing.TB, s *Store, g *walstoretest.Generator) {
	t.Helper()
	at := testSeg.Floor(s.Positions().Received)
	start(t, s, g.Timeline(), at)
	store(t, s, g, at)
}

// steps takes steps of the stages, each of which has to succeed.
func steps(t testing.TB, all ...func() (bool, error)) {
	t.Helper()
	for _, step := range all {
		if _, err := step(); err != nil {
			t.Fatal(err)
		}
	}
}

func appendMessage(t testing.TB, s *Store, m walstoretest.Message) {
	t.Helper()
	if err := s.AppendFrom(context.Background(), m.At, bytes.NewReader(m.Data), len(m.Data)); err != nil {
		t.Fatalf("AppendFrom(%s, %d): %v", m.At, len(m.Data), err)
	}
}

// sendAll appends all of g's WAL, on a goroutine of its own. done is closed behind the last message.
func sendAll(t testing.TB, s *Store, g *walstoretest.Generator) (done <-chan struct{}) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for _, m := range g.Messages(g.Start(), nil) {
			appendMessage(t, s, m)
		}
	}()
	return ended
}

func drain(t testing.TB, s *Store) {
	t.Helper()
	if err := s.drain(); err != nil {
		t.Fatalf("drain: %v", err)
	}
}

// readAll reads [from, to) on tli and compares it with g.
func readAll(t testing.TB, s *Store, g *walstoretest.Generator, tli lsn.TimelineID, from, to lsn.LSN) {
	t.Helper()
	r, err := s.NewReader(tli, from)
	if err != nil {
		t.Fatalf("NewReader(%s, %s): %v", tli, from, err)
	}
	defer r.Close()
	for at := from; at < to; {
		c, err := r.Next(to, walstoretest.MaxSend)
		if err != nil {
			t.Fatalf("Next at %s: %v", at, err)
		}
		if c.Len() == 0 || c.Start != at {
			t.Fatalf("Next at %s gave [%s, %s)", at, c.Start, c.End)
		}
		b, err := c.Bytes(make([]byte, c.Len()))
		if err != nil {
			t.Fatalf("chunk at %s: %v", at, err)
		}
		if !bytes.Equal(b, g.Bytes(c.Start, c.End)) {
			t.Fatalf("chunk [%s, %s) differs at %s", c.Start, c.End, at+firstDifference(b, g.Bytes(c.Start, c.End)))
		}
		if c.End != to && !c.End.IsPageStart() {
			t.Fatalf("chunk was cut at %s, inside a page", c.End)
		}
		at = c.End
	}
}

func reopen(t testing.TB, s *Store, fsys FS) *Store {
	t.Helper()
	_ = s.Close()
	return openMem(t, fsys)
}

var _ vfs.FS = (*vfs.Mem)(nil)
