package shared

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// randomState is one of few, so that equal keys with different values are common.
func randomState(r *rand.Rand) State {
	s := State{
		Name: "x", Generation: 1 + r.Uint64N(3), Owner: string(rune('a' + r.IntN(3))), Stamp: r.Uint64N(3),
		Idle: r.IntN(4) == 0, Real: Real(r.IntN(3)), ActivePID: int32(r.IntN(2)), Restart: lsn.LSN(r.IntN(3)),
		Xmin: copyboth.FullXID(r.IntN(3)), Catalog: copyboth.FullXID(r.IntN(2)), Created: copyboth.Time(r.IntN(2)),
	}
	if r.IntN(3) == 0 {
		s.Dropped, s.ActivePID, s.Restart = true, 0, 0
	}
	return s
}

// Whatever is said, in whatever order and however often, everybody ends with the same.
func TestMergeIsOneAnswer(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 200_000 {
		a, b, c := randomState(r), randomState(r), randomState(r)
		switch {
		case Merge(a, b) != Merge(b, a):
			t.Fatalf("not commutative: %+v, %+v", a, b)
		case Merge(a, a) != a:
			t.Fatalf("not idempotent: %+v", a)
		case Merge(Merge(a, b), c) != Merge(a, Merge(b, c)):
			t.Fatalf("not associative: %+v, %+v, %+v", a, b, c)
		case Compare(a, b) == 0 && a != b || Compare(a, b) != -Compare(b, a):
			t.Fatalf("no order: %+v, %+v", a, b)
		case Merge(a, State{}) != a:
			t.Fatalf("nothing is something: %+v", a)
		}
	}
}

func TestOrder(t *testing.T) {
	rising := []State{
		{},
		{Generation: 4, Owner: "z", Stamp: 9},
		{Generation: 5, Owner: "a", Stamp: 7, Restart: 900},
		{Generation: 5, Owner: "b", Stamp: 1, Restart: 0}, // of what cannot be, what holds more
		{Generation: 5, Owner: "b", Stamp: 1, Restart: 800},
		{Generation: 5, Owner: "b", Stamp: 1, Restart: 700},
		{Generation: 5, Owner: "b", Stamp: 2, Restart: 900},
		{Generation: 5, Owner: "a", Stamp: 1, Dropped: true}, // a tombstone is above a slot
		{Generation: 6, Owner: "a", Stamp: 1},
	}
	for i := range rising[1:] {
		if Compare(rising[i], rising[i+1]) >= 0 {
			t.Errorf("%+v is not below %+v", rising[i], rising[i+1])
		}
	}
}

func all(string) bool  { return true }
func none(string) bool { return false }

func TestOffer(t *testing.T) {
	slot := State{Name: "x", Generation: 5, Owner: "a", Stamp: 3}
	used := slot
	used.ActivePID = 7
	tombstone := State{Name: "x", Generation: 5, Owner: "a", Stamp: 1, Dropped: true}
	b := func(s State, w Wish) State { return s.Next(w, "x", "b", 9) }
	for _, c := range []struct {
		what string
		side Side
		wish Wish
		o    State
		want Why
	}{
		{"nothing known", Side{Self: "c", Hears: all}, Create, b(State{}, Create), Accepted},
		{"a name that is taken", Side{Self: "c", Have: slot, Hears: all}, Create, b(State{}, Create), Exists},
		{"one that is free again", Side{Self: "c", Have: tombstone, Hears: all}, Create, b(tombstone, Create), Accepted},
		{"dropped, as the other does not know", Side{Self: "c", Have: tombstone, Hears: all}, Create, b(State{}, Create), Behind},
		{"dropped, as only the other knows", Side{Self: "c", Have: State{Name: "x", Generation: 3, Owner: "c"}, Hears: all},
			Create, b(tombstone, Create), Accepted},
		{"not used", Side{Self: "a", Have: slot, Hears: all}, Attach, b(slot, Attach), Accepted},
		{"used here", Side{Self: "a", Have: used, Live: true, Hears: all}, Attach, b(used, Attach), Busy},
		{"dropping what is used here", Side{Self: "a", Have: used, Live: true, Hears: all}, Drop, b(used, Drop), Busy},
		{"used by nobody any more", Side{Self: "a", Have: used, Hears: all}, Attach, b(used, Attach), Accepted},
		{"used elsewhere", Side{Self: "c", Have: used, Hears: all}, Attach, b(used, Attach), Witness},
		{"used where nobody is heard", Side{Self: "c", Have: used, Hears: none}, Attach, b(used, Attach), Accepted},
		{"used by who asks", Side{Self: "c", Have: State{Name: "x", Generation: 5, Owner: "b", ActivePID: 1}, Hears: all},
			Attach, b(slot, Attach), Accepted},
		{"dropped at the same time", Side{Self: "c", Have: tombstone, Hears: all}, Attach, b(slot, Attach), Behind},
		{"more is known", Side{Self: "c", Have: State{Name: "x", Generation: 6, Owner: "c"}, Hears: all}, Attach, b(slot, Attach), Behind},
		{"asked for here, by name", Side{Self: "c", Have: slot, Pending: slot.Next(Attach, "x", "c", 1), Hears: all}, Attach,
			b(slot, Attach), Busy},
		{"asked for here, in vain", Side{Self: "a", Have: slot, Pending: slot.Next(Attach, "x", "a", 1), Hears: all}, Attach,
			b(slot, Attach), Accepted},
	} {
		if got := c.side.Offer(c.wish, c.o); got != c.want {
			t.Errorf("%s: %d, expected %d", c.what, got, c.want)
		}
	}
}

func TestMeet(t *testing.T) {
	mine := State{Name: "x", Generation: 5, Owner: "b", Stamp: 3, ActivePID: 7, Restart: 100}
	live := Side{Self: "b", Have: mine, Live: true}
	for _, c := range []struct {
		what string
		side Side
		o    State
		met  Met
		want State
	}{
		{"older", live, State{Name: "x", Generation: 4, Owner: "c", Stamp: 9}, Kept, mine},
		{"used elsewhere", live, State{Name: "x", Generation: 5, Owner: "c", Stamp: 1, ActivePID: 3}, Yielded,
			State{Name: "x", Generation: 5, Owner: "c", Stamp: 1, ActivePID: 3}},
		{"claimed elsewhere, and left", live, State{Name: "x", Generation: 6, Owner: "c", Stamp: 4}, Claimed,
			State{Name: "x", Generation: 7, Owner: "b", Stamp: 5, ActivePID: 7, Restart: 100}},
		{"dropped elsewhere", live, State{Name: "x", Generation: 6, Owner: "c", Stamp: 1, Dropped: true}, Claimed,
			State{Name: "x", Generation: 7, Owner: "b", Stamp: 2, ActivePID: 7, Restart: 100}},
		{"an own session of before", Side{Self: "b"}, mine, Claimed,
			State{Name: "x", Generation: 5, Owner: "b", Stamp: 4, Restart: 100}},
		{"dropped", Side{Self: "c", Have: mine}, State{Name: "x", Generation: 6, Owner: "a", Stamp: 1, Dropped: true}, Took,
			State{Name: "x", Generation: 6, Owner: "a", Stamp: 1, Dropped: true}},
	} {
		if got, met := c.side.Meet(c.o); got != c.want || met != c.met {
			t.Errorf("%s: %d %+v, expected %d %+v", c.what, met, got, c.met, c.want)
		}
	}
}

func TestTally(t *testing.T) {
	used := State{Name: "x", Generation: 5, Owner: "a", ActivePID: 7}
	free := State{Name: "x", Generation: 5, Owner: "a"}
	for _, c := range []struct {
		what string
		wish Wish
		have State
		say  func(*Tally)
		want Outcome
	}{
		{"nobody else", Attach, used, func(*Tally) {}, Won},
		{"the owner is dead", Attach, used, func(t *Tally) { t.Silent("a", false) }, Won},
		{"the owner lives, and does not answer", Attach, used, func(t *Tally) { t.Silent("a", true) }, Refused},
		{"it had no session", Attach, free, func(t *Tally) { t.Silent("a", true) }, Won},
		{"another one does not answer", Attach, used, func(t *Tally) { t.Answer("a", Accepted, used); t.Silent("c", true) }, Won},
		{"the owner refuses", Drop, used, func(t *Tally) { t.Answer("a", Busy, used) }, Refused},
		{"the owner's word is newer", Attach, used, func(t *Tally) { t.Answer("c", Witness, used); t.Answer("a", Accepted, used) }, Won},
		{"only the third hears the owner", Attach, used, func(t *Tally) { t.Answer("c", Witness, used); t.Silent("a", false) }, Refused},
		{"one knows more", Attach, used, func(t *Tally) { t.Answer("a", Accepted, used); t.Answer("c", Behind, free) }, Again},
		{"one knows more, one is busy", Attach, used, func(t *Tally) { t.Answer("a", Busy, used); t.Answer("c", Behind, free) }, Refused},
		{"the name is taken", Create, State{}, func(t *Tally) { t.Answer("a", Exists, free) }, Refused},
	} {
		tally := NewTally(c.wish, c.have)
		c.say(tally)
		if got, _ := tally.Outcome(); got != c.want {
			t.Errorf("%s: %d, expected %d", c.what, got, c.want)
		}
	}
}

func TestMessages(t *testing.T) {
	full := Message{All: true}
	for i := range MaxEntries {
		s := State{
			Name:       strings.Repeat("z", 59) + string([]byte{'a' + byte(i>>8), 'a' + byte(i>>4&15), 'a' + byte(i&15)}),
			Generation: MaxGeneration, Owner: strings.Repeat("o", maxName), Stamp: 1 << 63, Idle: true, Real: Mirrored,
			ActivePID: 1<<31 - 1, Restart: 1 << 63, Xmin: 1 << 62, Catalog: 3, Created: -4,
		}
		full.Entries = append(full.Entries, Entry{State: s, Keeps: true, Why: Busy})
	}
	for _, m := range []Message{{}, full, {Wish: Drop, Entries: []Entry{{State: State{Name: "a"}}}}} {
		for version := byte(Oldest); version <= Newest; version++ {
			b, err := Append(nil, version, m)
			if err != nil || len(b) > MaxSize {
				t.Fatalf("%d bytes, %v", len(b), err)
			}
			if version == Newest && len(m.Entries) > 0 {
				m.Entries[0].For, m.Entries[0].Doubted = "standby_1", true
				if b, err = Append(nil, version, m); err != nil {
					t.Fatal(err)
				}
			}
			if back, err := Decode(b, version); err != nil || !reflect.DeepEqual(back, m) {
				t.Errorf("version %d: %v", version, err)
			}
			if _, err := Decode(append(b, "more"...), version); (err == nil) != (version > Oldest) {
				t.Errorf("version %d with more: %v", version, err)
			}
			for cut := range min(len(b), 500) {
				if _, err := Decode(b[:cut], version); !errors.Is(err, ErrEncoding) {
					t.Fatalf("cut at %d: %v", cut, err)
				}
			}
		}
	}
	ok := State{Name: "a", Generation: 1, Owner: "b"}
	for what, change := range map[string]func(*State){
		"name": func(s *State) { s.Name = "A" }, "no owner": func(s *State) { s.Owner = "" },
		"owner": func(s *State) { s.Owner = "b\x00c" }, "long owner": func(s *State) { s.Owner = strings.Repeat("b", 64) },
		"no generation": func(s *State) { s.Generation = 0 }, "generation": func(s *State) { s.Generation = MaxGeneration + 1 },
		"pid": func(s *State) { s.ActivePID = -1 }, "tombstone": func(s *State) { s.Dropped, s.Restart = true, 1 },
		"real": func(s *State) { s.Real = 3 },
	} {
		s := ok
		change(&s)
		if _, err := Append(nil, Newest, Message{Entries: []Entry{{State: s}}}); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// In version 1 a message is as release v0.1.0 said it, byte for byte: these are its bytes. In version 2 flags and
// what follows an entry are skipped.
func TestBytes(t *testing.T) {
	m := Message{Wish: Attach, All: true, Entries: []Entry{
		{State: State{Name: "s1", Generation: 5, Owner: "a", Stamp: 6, Real: Mirrored, ActivePID: 7, Restart: 8, Xmin: 9, Catalog: 10,
			Created: 11, Idle: true}, Keeps: true, Why: Busy},
		{State: State{Name: "s2"}},
	}}
	const first = "06" + "%02x" + "%02x" + "027331" + "0161" + "0000000000000005" + "0000000000000006" + "00000007" +
		"0000000000000008" + "0000000000000009" + "000000000000000a" + "000000000000000b"
	second := "000000" + "027332" + "00" + strings.Repeat("00", 2*8+4+4*8)
	entry := fmt.Sprintf(first, byte(Busy), byte(Mirrored))
	want := fmt.Sprintf("01%02x01", byte(Attach)) + "0002" + entry + second
	b, err := Append(nil, Oldest, m)
	if got := hex.EncodeToString(b); err != nil || got != want {
		t.Errorf("%v\n%s\nrelease v0.1.0 said\n%s", err, got, want)
	}
	size := func(s string) string { return fmt.Sprintf("%04x", len(s)/2) }
	later := fmt.Sprintf("02%02x01", byte(Attach)) + "0002" + size(entry+"027331ffff") + "f6" + entry[2:] + "027331ffff" +
		size(second) + second + "ff"
	b, err = hex.DecodeString(later)
	if err != nil {
		t.Fatal(err)
	}
	m.Entries[0].For = "s1"
	if got, err := Decode(b, Newest); err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("of a release to come: %+v, %v", got, err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, m := range []Message{
		{All: true},
		{Wish: Attach, Entries: []Entry{{State: State{Name: "x", Generation: 5, Owner: "a", ActivePID: 7}, Why: Busy}}},
		{Entries: []Entry{{State: State{Name: "x"}}, {State: State{Name: "y", Generation: 1, Owner: "b", Dropped: true}, Keeps: true}}},
	} {
		for version := byte(Oldest); version <= Newest; version++ {
			b, err := Append(nil, version, m)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := Decode(b, Newest); err == nil {
			if _, err := Append(nil, Newest, m); err != nil {
				t.Fatalf("what was read can't be said: %v", err)
			}
		}
		m, err := Decode(b, Oldest)
		if err != nil {
			return
		}
		if back, err := Append(nil, Oldest, m); err != nil || !bytes.Equal(back, b) {
			t.Fatalf("decode and append differ: %v", err)
		}
	})
}
