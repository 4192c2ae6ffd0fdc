package walsource

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// sender sends WAL of a generator, a piece each pause, and asks for a reply before each.
type sender struct {
	Conn
	wal     []byte // from 0x100000 on
	pause   time.Duration
	stuck   lsn.LSN // nothing comes from here on; 0: all does
	at      lsn.LSN
	asked   bool
	replies [][]byte
	starts  int
	broken  chan struct{}
}

const senderStart = lsn.LSN(1 << 20)

func newSender(wal []byte) *sender {
	return &sender{wal: bytes.Clone(wal), broken: make(chan struct{})}
}

func (s *sender) Endpoint() upstream.Endpoint { return upstream.Endpoint{Host: "db1", Port: 5432} }

func (s *sender) Start(_ context.Context, _ string, p walreceiver.StartPoint) (bool, walreceiver.StartPoint, error) {
	s.starts++
	s.at, s.asked = p.At, false
	return true, walreceiver.StartPoint{}, nil
}

func (s *sender) Receive() (walreceiver.Message, error) {
	if s.asked = !s.asked; s.asked {
		return walreceiver.Message{Kind: 'k', WantReply: true}, nil
	}
	if s.stuck != 0 && s.at >= s.stuck {
		<-s.broken
		return walreceiver.Message{}, io.EOF
	}
	time.Sleep(s.pause)
	return walreceiver.Message{Kind: 'w', Start: s.at, Size: min(20_000, len(s.wal)-int(s.at-senderStart))}, nil
}

func (s *sender) Read(p []byte) (int, error) {
	n := copy(p, s.wal[s.at-senderStart:])
	s.at += lsn.LSN(n)
	return n, nil
}

func (s *sender) Send(m []byte, _ time.Duration) error {
	s.replies = append(s.replies, bytes.Clone(m))
	return nil
}

func (s *sender) Break(context.Context, bool) error { return nil }

func (s *sender) Interrupt() { close(s.broken) }

func (s *sender) Settings(context.Context, []string) (map[string]string, error) {
	return map[string]string{"wal_segment_size": "1MB", "server_version_num": "150000"}, nil
}

// owing is a store that owes WAL, named by p, and a primary that has written more.
func owing(t *testing.T, g *walstoretest.Generator, p lsn.Print) (*Supply, server) {
	t.Helper()
	m := newMemStore()
	m.id = walstore.Identity{System: 7, SegSize: 1 << 20, ServerMajor: 15}
	at := g.Start() + 8*lsn.PageSize
	m.pos = walstore.Positions{Timeline: 1, Oldest: g.Start(), Received: at, Written: at, Flushed: at, Complete: at}
	m.owes = walstore.Repair{From: at, To: p.LSN, Print: p}
	r := with(t, Options{Store: m})
	r.log = slog.New(slog.DiscardHandler)
	srv := server{
		system: 7, timeline: 1, xlogpos: g.End() + 1<<20, history: lsn.History{Timeline: 1}, seg: 1 << 20, version: 150000,
		endpoint: "db1:5432",
	}
	srv.known = r.knowledge()
	return r, srv
}

// someWAL generates WAL from the start of a segment on, and names its last record.
func someWAL() (*walstoretest.Generator, lsn.Print) {
	g := walstoretest.New(walstoretest.Config{SegSize: 1 << 20})
	for range 100 {
		g.Record(3000)
	}
	return g, printOf(g, g.End())
}

func printOf(g *walstoretest.Generator, at lsn.LSN) lsn.Print {
	id := walstore.Identity{System: g.Source.System, SegSize: g.Source.SegSize, ServerMajor: g.Source.Major}
	h := walstore.NewSentHash(id, g.Start())
	h.Add(bytes.Clone(g.Bytes(g.Start(), at)))
	return lsn.Print{Timeline: 1, LSN: at, Sum: h.Sum()}
}

// TestRecognise: a primary with other WAL has lost what this proxy had. That is remembered, and not looked at again at
// once. The right one is not refused for it, at the same address or, after a restart, at any.
func TestRecognise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, p := someWAL()
		r, srv := owing(t, g, p)
		wrong := newSender(g.Bytes(g.Start(), g.End()))
		wrong.wal[len(wrong.wal)-100]++
		for range 2 {
			if err := r.recognise(t.Context(), wrong, &srv, r.o.Store.Positions()); err != nil {
				t.Fatal(err)
			}
			if e := srv.known.lack(srv); e == nil || !e.Lost || e.To != p.LSN || wrong.starts != 1 || r.recognised {
				t.Fatalf("%+v, looked %d times", e, wrong.starts)
			}
			srv.known = r.knowledge()
		}
		r.lost.Store(&lostAt{anyEndpoint: (*r.lost.Load())[srv.endpoint], srv.endpoint: (*r.lost.Load())[srv.endpoint]})
		time.Sleep(partingDelay)
		srv.known = r.knowledge()
		if err := r.recognise(t.Context(), newSender(g.Bytes(g.Start(), g.End())), &srv, r.o.Store.Positions()); err != nil {
			t.Fatal(err)
		}
		if e := srv.known.lack(srv); e != nil || !r.recognised || r.knowledge().lack(srv) != nil {
			t.Errorf("the right one is refused: %v", e)
		}
	})
}

// TestRecogniseAPromotedOne: a server that lost WAL, wrote more and was promoted then is on a timeline that begins beyond
// what was lost. Its bytes tell.
func TestRecogniseAPromotedOne(t *testing.T) {
	g, p := someWAL()
	for fork, looks := range map[lsn.LSN]bool{p.LSN + 1000: true, p.LSN: true, p.LSN - 1: false} {
		synctest.Test(t, func(t *testing.T) {
			r, srv := owing(t, g, p)
			have := r.o.Store.Positions()
			srv.timeline, srv.history = 2, forkedAt(fork)
			wrong := newSender(g.Bytes(g.Start(), g.End()))
			wrong.wal[len(wrong.wal)-100]++
			for range 2 { // the second time it is remembered
				srv.known = r.knowledge()
				err := errors.Join(r.recognise(t.Context(), wrong, &srv, have), r.judge(have, srv))
				var e *LackError
				refused := errors.As(err, &e) && e.Timeline == 2 && e.Of == 1 && e.To == p.LSN && !e.Lost
				if refused != looks || (wrong.starts == 1) != looks {
					t.Errorf("fork at %s: %v, looked %d times", fork, err, wrong.starts)
				}
			}
			time.Sleep(partingDelay)
			right := newSender(g.Bytes(g.Start(), g.End()))
			srv.known = r.knowledge()
			err := errors.Join(r.recognise(t.Context(), right, &srv, have), r.judge(have, srv))
			if err != nil || r.recognised != looks {
				t.Errorf("fork at %s, the right one: %v, recognised %v", fork, err, r.recognised)
			}
		})
	}
}

// emptied is a store that had WAL, named by was.
type emptied struct {
	*memStore
	was walstore.Promise
}

func (e emptied) Promised() walstore.Promise { return e.was }

// TestPromotedAfterItWasRefused: an emptied store has refused a primary that lost WAL. The server is promoted then, with a
// fork beyond what it lost: it is looked at again, also where that was done a moment ago.
func TestPromotedAfterItWasRefused(t *testing.T) {
	for _, wait := range []time.Duration{time.Second, 2 * partingDelay} {
		synctest.Test(t, func(t *testing.T) {
			g, p := someWAL()
			m := emptied{newMemStore(), walstore.Promise{At: p.LSN, System: 7, Timeline: 1, Print: p}}
			r := with(t, Options{Store: m})
			r.log = slog.New(slog.DiscardHandler)
			srv := server{system: 7, timeline: 1, xlogpos: g.End() + 1<<20, history: lsn.History{Timeline: 1}, seg: 1 << 20,
				version: 150000, endpoint: "db1:5432", known: r.knowledge()}
			wrong := newSender(g.Bytes(g.Start(), g.End()))
			wrong.wal[len(wrong.wal)-100]++
			have := m.Positions()
			if err := errors.Join(r.recognise(t.Context(), wrong, &srv, have), r.judge(have, srv)); err == nil {
				t.Fatal("a primary that lost WAL is followed")
			}
			time.Sleep(wait)
			r.attempt = &attempt{}
			srv.timeline, srv.known = 2, r.knowledge()
			srv.history = lsn.History{Timeline: 2, Parents: []lsn.HistoryEntry{{Timeline: 1, Switch: p.LSN + 1000}}}
			if err := errors.Join(r.recognise(t.Context(), wrong, &srv, have), r.judge(have, srv)); err == nil {
				t.Errorf("%s later it is on timeline 2, and is followed", wait)
			}
		})
	}
}

// TestRecogniseWaitsForWAL: a look takes as long as WAL comes, and the server hears of it. It ends where nothing comes
// any more, and is tried again.
func TestRecogniseWaitsForWAL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, p := someWAL()
		slow := newSender(g.Bytes(g.Start(), g.End()))
		slow.pause = partingPatience - time.Second
		r, srv := owing(t, g, p)
		began := time.Now()
		err := r.recognise(t.Context(), slow, &srv, r.o.Store.Positions())
		if err != nil || !r.recognised || time.Since(began) < 10*partingPatience {
			t.Errorf("%v, recognised %v after %s", err, r.recognised, time.Since(began))
		}
		if len(slow.replies) < 10 {
			t.Errorf("%d replies", len(slow.replies))
		}
		for _, b := range slow.replies {
			if u, err := copyboth.DecodeStatusUpdate(b); err != nil || u.Progress != (lsn.Progress{}) {
				t.Errorf("told %+v, %v", u, err)
			}
		}
		slow = newSender(g.Bytes(g.Start(), g.End()))
		slow.stuck = g.Start() + 100_000
		if err := r.recognise(t.Context(), slow, &srv, r.o.Store.Positions()); !errors.As(err, new(errUntold)) {
			t.Errorf("nothing comes, and it says %v", err)
		}
	})
}

// TestRecogniseBehindASwitch: what lies behind an XLOG_SWITCH is not WAL. A primary that crashed there has other bytes
// than the store, and is the right one.
func TestRecogniseBehindASwitch(t *testing.T) {
	g := walstoretest.New(walstoretest.Config{SegSize: 1 << 20})
	for range 40 {
		g.Record(3000)
	}
	x := g.Switch()
	p := printOf(g, g.Start()+1<<20)
	s := newSender(g.Bytes(g.Start(), p.LSN))
	for i := x.End - g.Start() + lsn.PageSize; i < 1<<20; i += 7 {
		s.wal[i]++
	}
	r, srv := owing(t, g, p)
	if err := r.recognise(t.Context(), s, &srv, r.o.Store.Positions()); err != nil || !r.recognised {
		t.Errorf("%v, recognised %v", err, r.recognised)
	}
}

// TestOwnPromiseIsNoRecordsEnd: damaged WAL was promised up to a position inside a record. A primary that crashed too and
// gave that record up has every complete one, and is followed.
func TestOwnPromiseIsNoRecordsEnd(t *testing.T) {
	const end, print, to = lsn.LSN(0x1005000), lsn.LSN(0x1005FC0), lsn.LSN(0x1006000)
	for _, damaged := range []bool{false, true} {
		m := newMemStore()
		m.id = walstore.Identity{System: 7}
		m.pos = walstore.Positions{Timeline: 1, Oldest: 0x1000000, Received: end, Written: end, Flushed: end, Complete: end}
		m.owes = walstore.Repair{From: end, To: to, Print: lsn.Print{Timeline: 1, LSN: print, Sum: 5}}
		if m.promised = end; damaged {
			m.owes.Damage, m.promised = walstore.ErrDamaged, to // as a start says
		}
		r := with(t, Options{Store: m})
		primary := server{system: 7, timeline: 1, history: lsn.History{Timeline: 1}, endpoint: "db1:5432"}
		for at, lacks := range map[lsn.LSN]bool{print + 0x10: false, print: false, print - 1: true} {
			primary.xlogpos = at
			if e := r.knowledge().lack(primary); (e != nil) != lacks {
				t.Errorf("damaged %v, primary at %s: %v", damaged, at, e)
			}
		}
	}
}
