package walstore

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// newestOfRelease010 reads the file as release v0.1.0 does: the first form, its copies alone.
func newestOfRelease010(file []byte) (seq uint64, at lsn.LSN, err error) {
	seq, payload, err := newestCopy(file, promisedMagic, promisedLength)
	if err == nil {
		at = lsn.LSN(binary.LittleEndian.Uint64(payload))
	}
	return seq, at, err
}

// TestPromiseForms: a promise with every field is read by this release, and by v0.1.0 while nothing is owed. A file of
// v0.1.0 is read here, also one that was written over a file of this release. The bytes are those of
// docs/walstore-format.md.
func TestPromiseForms(t *testing.T) {
	all := Promise{At: 0x1122334455667788, System: 0x0102030405060708, Timeline: 0x0A0B0C0D}
	all.Print = lsn.Print{Timeline: 0x05060708, LSN: 0x1122334455660000, Sum: 0x2122232425262728}
	file := promiseFile(8, all)
	const want = "RPXP\x02\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00" + "\x88\x77\x66\x55\x44\x33\x22\x11" +
		"\x00\x00\x00\x00\x00\x00\x00\x00" + "\x08\x07\x06\x05\x04\x03\x02\x01" + "\x0d\x0c\x0b\x0a"
	if got := string(file[promisedAt:][:len(want)]); got != want {
		t.Errorf("version 2 is %q", got)
	}
	const print = "RPXP\x03\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x66\x55\x44\x33\x22\x11" +
		"\x28\x27\x26\x25\x24\x23\x22\x21" + "\x08\x07\x06\x05"
	if got := string(file[printAt:][:len(print)]); got != print {
		t.Errorf("version 3 is %q", got)
	}
	// A copy without one, over a copy that had one.
	bare := all
	bare.Print = lsn.Print{}
	over := slices.Clone(file)
	copy(over[copyStride:], appendPromise(nil, 9, bare))
	if seq, p, err := newestPromise(over); seq != 9 || p != bare || err != nil {
		t.Errorf("without a print: %d, %+v, %v", seq, p, err)
	}
	if seq, p, err := newestPromise(file); seq != 8 || p != all || err != nil {
		t.Errorf("%d, %+v, %v", seq, p, err)
	}
	if seq, at, err := newestOfRelease010(file); seq != 8 || at != all.At || err != nil {
		t.Errorf("v0.1.0 reads %d, %s, %v", seq, at, err)
	}
	// v0.1.0 goes on from there: it knows of no timeline.
	payload := binary.LittleEndian.AppendUint64(nil, 5)
	copy(file[copyStride:], appendCopy(nil, promisedMagic, 9, payload))
	if seq, p, err := newestPromise(file); seq != 9 || p != (Promise{At: 5}) || err != nil {
		t.Errorf("after v0.1.0: %d, %+v, %v", seq, p, err)
	}
	if seq, p, err := newestPromise(twoCopies(promisedMagic, payload)); seq != 2 || p.At != 5 || err != nil {
		t.Errorf("a file of v0.1.0: %d, %+v, %v", seq, p, err)
	}
	owing := bare
	owing.Owes = 0x99
	if seq, p, err := newestPromise(promiseFile(8, owing)); seq != 8 || p != owing || err != nil {
		t.Errorf("owing: %d, %+v, %v", seq, p, err)
	}
	if _, at, err := newestOfRelease010(promiseFile(8, owing)); err == nil {
		t.Errorf("v0.1.0 reads %s of a store that owes", at)
	}
	for i := range promisedCopyBytes { // one bad byte leaves the other copy, or the other form
		bad := promiseFile(8, owing)
		bad[i] ^= 1
		if seq, p, err := newestPromise(bad); p != owing || err != nil {
			t.Errorf("byte %d: %d, %+v, %v", i, seq, p, err)
		}
	}
	if _, _, err := newestPromise(make([]byte, 2*copyStride)); err == nil {
		t.Error("zeros are a promise")
	}
}

// TestPromiseOwing: the debt survives crashes and a narrower promise, and falls with WAL that is given up. At no
// moment does v0.1.0 find an older bound than the newest.
func TestPromiseOwing(t *testing.T) {
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 5))
		mem, g := vfs.NewMem(), newGen()
		s := openMem(t, mem)
		begin(t, s, g)
		g.Record(3000)
		store(t, s, g, s.Positions().Received)
		flushed := s.Positions().Flushed
		ahead := flushed + 50
		save := func(p Promise) {
			t.Helper()
			s.promised.mu.Lock()
			defer s.promised.mu.Unlock()
			if err := s.savePromise(p); err != nil {
				t.Fatal(err)
			}
		}
		now := Promise{At: flushed, System: 7, Timeline: 1}
		for range 1 + rnd.IntN(6) {
			now.At += lsn.LSN(rnd.IntN(20))
			now.Owes = lsn.LSN(rnd.IntN(2)) * ahead
			save(now)
			raw, err := vfs.ReadFile(s.fs, filepath.Join(s.dir, promisedName), 2*copyStride)
			if err != nil {
				t.Fatal(err)
			}
			if _, at, err := newestOfRelease010(raw); err == nil && (at != now.At || now.Owes != 0) {
				t.Fatalf("v0.1.0 reads %s of %+v", at, now)
			}
		}
		s = openMem(t, mem.Crash(rnd))
		got := s.Promised()
		if got.At != max(now.At, now.Owes) || got.Timeline != 1 || got.Owes != now.Owes {
			t.Fatalf("seed %d: %+v, was %+v", seed, got, now)
		}
		if now.Owes == 0 {
			continue
		}
		if err := s.SetPromised(flushed); err != nil || s.Promised().Owes != now.Owes {
			t.Fatalf("narrower: %+v, %v", s.Promised(), err)
		}
		if err := s.GiveUpRepair(); err != nil || s.Promised().Owes != 0 {
			t.Fatalf("given up: %+v, %v", s.Promised(), err)
		}
	}
}

// TestAsideIsNotPromised: what is set aside is not promised any more, however the last process ended.
func TestAsideIsNotPromised(t *testing.T) {
	dir := t.TempDir()
	for _, to := range []lsn.LSN{0x5000000, PromisedAll} {
		s, err := Open(t.Context(), Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		err = s.Adopt(Identity{System: 7, SegSize: lsn.MinSegSize, ServerMajor: 15})
		err = errors.Join(err, s.StartStream(1, 0x1000000), s.SetPromised(to), s.Close())
		if err != nil {
			t.Fatal(err)
		}
		from := lsn.Point{Timeline: 1, LSN: 0x3000060}
		s, err = Open(t.Context(), Options{Dir: dir, SetAside: func(lsn.Point) (Aside, error) {
			return Aside{Name: "1-0-3000060-lost", From: from, Has: from.LSN}, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		if p := s.Promised(); p.At != from.LSN || p.Timeline != 1 {
			t.Errorf("%s: promised is %+v", to, p)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPromisedPrint: a promise names the last complete record by its bytes, in the file too, which a store that is
// emptied reads. It is kept while that WAL is stored and nothing newer is known, and falls with what is given up.
func TestPromisedPrint(t *testing.T) {
	mem, g := vfs.NewMem(), newGen()
	s := openMem(t, mem)
	begin(t, s, g)
	g.Record(3000)
	store(t, s, g, s.Positions().Received)
	pos := s.Positions()
	sum, err := s.ReadHash(pos.Timeline, pos.Complete)
	if err != nil {
		t.Fatal(err)
	}
	want := lsn.Print{Timeline: pos.Timeline, LSN: pos.Complete, Sum: sum}
	for _, to := range []lsn.LSN{pos.Flushed, PromisedAll} {
		if err := s.SetPromised(to); err != nil || s.Promised().Print != want {
			t.Fatalf("%s: %+v, %v; want %+v", to, s.Promised().Print, err, want)
		}
	}
	after := mem.Crash(rand.New(rand.NewPCG(1, 1)))
	again := openMem(t, after)
	if got := again.Promised().Print; got != want {
		t.Errorf("after a restart %+v, want %+v", got, want)
	}
	raw, err := vfs.ReadFile(after, filepath.Join(again.dir, promisedName), 2*copyStride)
	if err != nil {
		t.Fatal(err)
	}
	if _, kept, err := newestPromise(raw); err != nil || kept.Print != want { // all that a store has which is emptied
		t.Errorf("the file has %+v, %v, want %+v", kept.Print, err, want)
	}
	if err := again.SetPromised(pos.Complete - 1); err != nil || again.Promised().Print.LSN >= pos.Complete {
		t.Errorf("given up, and named: %+v, %v", again.Promised().Print, err)
	}
}
