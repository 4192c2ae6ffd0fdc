package walstore

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestForkInsideARecord: the stream ended inside a record, and the new timeline begins where the record before it
// ends. Nothing is missing: no WAL is moved aside, nothing is said to be lacking, and the bytes are the new
// timeline's from there on (ruling R36).
func TestForkInsideARecord(t *testing.T) {
	for name, long := range map[string]int{"one page": 20_000, "several segments": 3<<20 + 500_000} {
		t.Run(name, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(5, uint64(long)))
			old := newGen()
			old.Fill(old.Start()+5<<19, rnd)
			fork := old.Record(100).End
			old.Record(long)
			received := (old.End() - 1).PageStart()
			g := old.Fork(fork, 2)
			g.Fill(g.End()+5<<20, rnd)
			fsys := vfs.NewMem()
			log := &bytes.Buffer{}
			s := openMem(t, fsys, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(log, nil)) })
			begin(t, s, old)
			sendUpTo(t, s, old, received)
			drain(t, s)
			if p := s.Positions(); p.Complete != fork || p.Received != received {
				t.Fatalf("received inside a record: %+v, want %s", p, fork)
			}
			putHistory(t, s, g)
			start(t, s, 2, testSeg.Floor(fork))
			want := Positions{Timeline: 2, Oldest: g.Start(), Received: fork, Written: fork, Flushed: fork, Reportable: fork, Complete: fork}
			if p := s.Positions(); p != want {
				t.Fatalf("behind the fork: %+v, want %+v", p, want)
			}
			store(t, s, g, testSeg.Floor(fork))
			check := func() {
				t.Helper()
				readAll(t, s, g, 1, g.Start(), fork)
				readAll(t, s, g, 2, testSeg.Floor(fork), g.End())
				if names, err := fsys.ReadDir("/data/diverged"); !errors.Is(err, fs.ErrNotExist) {
					t.Fatalf("WAL is moved aside: %q, %v", names, err)
				}
				if text := log.String(); strings.Contains(text, "level=ERROR") || strings.Contains(text, "level=WARN") {
					t.Fatalf("the log says:\n%s", text)
				}
				if sum, ok := s.HashAt(2, g.End()); !ok && s.tail.low < g.End() || ok && sum != sumOf(g, g.End()) {
					t.Fatalf("the hash is %x, %v", sum, ok)
				}
			}
			check()
			s = reopen(t, s, fsys)
			check()
		})
	}
}

// TestCrashAmidASwitch: a primary that crashed while it wrote the zeros behind an XLOG_SWITCH sends other bytes there,
// after the restart or all the time. Here are zeros, and the primary is followed (ruling R37).
func TestCrashAmidASwitch(t *testing.T) {
	g := newGen()
	g.Fill(g.Start()+5<<18, rand.New(rand.NewPCG(1, 1)))
	switched := g.Switch().End
	segEnd := g.End()
	g.Record(5000)
	torn := bytes.Clone(g.Bytes(g.Start(), g.End()))
	for at := switched + 3; at < segEnd; at += 5 { // also what looks like WAL
		torn[at-g.Start()] = byte(at)
	}
	copy(torn[segEnd-5*lsn.PageSize-g.Start():], torn[:lsn.PageSize])
	send := func(s *Store, wal []byte, from, to lsn.LSN) {
		t.Helper()
		for at := from; at < to; {
			end := min(to, (at + 100_000).PageStart())
			if err := s.AppendFrom(context.Background(), at, bytes.NewReader(wal[at-g.Start():end-g.Start()]), int(end-at)); err != nil {
				t.Fatalf("at %s: %v", at, err)
			}
			at = end
		}
	}
	for name, cut := range map[string]lsn.LSN{
		"from the beginning": g.Start(), "before the switch": switched - 5*lsn.PageSize, "at the switch": switched,
		"in the zeros": switched.PageStart() + 3*lsn.PageSize, "behind": segEnd, "later": g.End(),
	} {
		t.Run(name, func(t *testing.T) {
			fsys := vfs.NewMem()
			s := openMem(t, fsys)
			begin(t, s, g)
			send(s, g.Bytes(g.Start(), g.End()), g.Start(), cut) // the primary before its crash
			drain(t, s)
			for range 2 { // a restart of the proxy too
				from := testSeg.Floor(s.Positions().Received)
				if from == segEnd {
					from -= lsn.LSN(testSeg)
				}
				start(t, s, 1, from)
				send(s, torn, from, g.End())
				drain(t, s)
				readAll(t, s, g, 1, g.Start(), g.End())
				if p := s.Positions(); p.Complete != g.End() {
					t.Fatalf("at the end: %+v", p)
				}
				s = reopen(t, s, fsys)
			}
			if d, err := s.SealedDigest(Segment{1, segEnd - lsn.LSN(testSeg), segEnd}); err != nil || d != sumOf(g, segEnd) {
				t.Fatalf("digest %x, %v", d, err)
			}
			// A difference before the switch is one.
			start(t, s, 1, segEnd-lsn.LSN(testSeg))
			bad := bytes.Clone(torn[:segEnd-g.Start()])
			bad[switched-1-g.Start()] ^= 1
			from := segEnd - lsn.LSN(testSeg)
			err := s.AppendFrom(context.Background(), from, bytes.NewReader(bad[from-g.Start():]), int(segEnd-from))
			if !errors.Is(err, ErrDiverged) {
				t.Fatalf("a difference in the record of the switch: %v", err)
			}
		})
	}
}
