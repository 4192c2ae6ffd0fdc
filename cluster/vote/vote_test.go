package vote

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/cluster/compare"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// full has every field non-zero and different.
func full() (Report, State) {
	r := Report{
		Key: Key{"proxy_a", 0x0102030405060708}, Seq: 2, Timeline: 3, Progress: lsn.Progress{Write: 0x16_00000004, Flush: 5, Apply: 6},
		Streaming: true, Distinct: []uint64{7, 8},
	}
	s := State{
		Node: "proxy_a", Boot: 9, Seq: 10, Fenced: 11, Upstream: true,
		Rule: Rule{
			Generation: 12, Timeline: 13, From: 14, Established: true, Before: RuleText{Names: "s1", Zones: []Zone{{Name: "z"}}},
			RuleText: RuleText{
				Names: "ANY 2 (s1, s2, proxy_a)", Spread: "ANY 2 (*)",
				Zones: []Zone{{"east", []string{"s1", "proxy_a"}}, {"west", []string{"s2"}}},
			},
		},
		Sessions: []Session{{Key{"proxy_a", 15}, Store, "proxy_a", 16}, {Key{"proxy_a", 17}, Standby, "s1", 18}},
	}
	return r, s
}

// neverMarked returns s with the fields that version 2 adds.
func neverMarked(s State) State { s.HistoryHash, s.FirstWAL = 18, Fingerprint{Never: true}; return s }

func onLine(s State) State { s.HistoryHash, s.FirstWAL = 18, Fingerprint{Hash: 19}; return s }

// encode gives the bytes of version 1.
func encode(t testing.TB, m any) []byte {
	t.Helper()
	b, older := encodeBoth(t, m)
	return b[:older]
}

// encodeBoth gives the bytes of the newest version, and how many of them version 1 has.
func encodeBoth(t testing.TB, m any) (b []byte, older int) {
	t.Helper()
	var err error
	switch m := m.(type) {
	case Report:
		b, older, err = AppendReport(nil, m)
	case State:
		b, older, err = AppendState(nil, m)
	case Hashes:
		b, err = AppendHashes(nil, m)
	case Asks:
		b, err = AppendAsks(nil, m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b, older
}

func TestRoundTrip(t *testing.T) {
	r, s := full()
	for _, m := range []any{r, s, Report{Key: Key{Node: "a", Incarnation: 1}}, State{Node: "b"}, onLine(s), neverMarked(s)} {
		b := encode(t, m)
		whole, _ := encodeBoth(t, m)
		if got, err := Decode(append(whole, "of a release to come"...), 2); err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%+v and more\nbecame %+v, %v", m, got, err)
		}
		if s, ok := m.(State); ok && s.FirstWAL.Never {
			continue // version 1 does not say it
		}
		got, err := Decode(b, 1)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%+v\nbecame %+v, %v", m, got, err)
		}
		for n := range len(b) {
			if _, err := Decode(b[:n], 1); !errors.Is(err, ErrEncoding) {
				t.Fatalf("%T cut to %d of %d bytes: %v", m, n, len(b), err)
			}
		}
		if _, err := Decode(append(b, 0), 1); !errors.Is(err, ErrEncoding) {
			t.Errorf("%T with a byte too many: %v", m, err)
		}
	}
}

// What version 2 added is nothing in version 1, and what follows it is skipped.
func TestRoundTripOfVersion2(t *testing.T) {
	r, _ := full()
	r.Bytes = lsn.Print{Timeline: r.Timeline, LSN: 8, Sum: 9}
	silent := r
	silent.Silent = Silence{Since: time.UnixMicro(10).UTC(), Host: "10.0.0.1"}
	for _, m := range []any{
		r, silent, Hashes{}, Hashes{Oldest: 1, Prints: []lsn.Print{{Timeline: 2, LSN: 3, Sum: 4}, {Timeline: 5, LSN: 6, Sum: 7}}},
		Asks(nil), Asks{{Node: "proxy_b", Timeline: 1, At: 2}, {Node: "proxy_c", Timeline: 3, At: 4}},
	} {
		b, older := encodeBoth(t, m)
		if got, err := Decode(append(b, "of a release to come"...), 2); err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%+v\nbecame %+v, %v", m, got, err)
		}
		if _, report := m.(Report); !report {
			if _, err := Decode(b, 1); !errors.Is(err, ErrEncoding) {
				t.Errorf("%T in version 1: %v", m, err)
			}
		}
		const silence = 8 + 1 + len("10.0.0.1") // left out by builds between the releases
		for n := max(older, headerSize) + 1; n < len(b); n++ {
			if r, report := m.(Report); report && n == len(b)-silence+len("10.0.0.1")-len(r.Silent.Host) {
				continue
			}
			if _, err := Decode(b[:n], 2); !errors.Is(err, ErrEncoding) {
				t.Fatalf("%T cut to %d of %d bytes: %v", m, n, len(b), err)
			}
		}
	}
	if _, err := AppendHashes(nil, Hashes{Prints: make([]lsn.Print, compare.MaxList+1)}); !errors.Is(err, ErrEncoding) {
		t.Errorf("too many: %v", err)
	}
}

// What a member of release v0.1.0 gets is what that release sent, byte for byte: these are its bytes.
func TestBytesOfVersion1(t *testing.T) {
	const state = "0770726f78795f61" + "0000000000000009" + "000000000000000a" + "0000000b" + "01" +
		"000000000000000c" + "0000000d" + "000000000000000e" + "01" +
		"0017414e592032202873312c2073322c2070726f78795f6129" + "0009414e59203220282a29" +
		"02" + "0465617374" + "02" + "027331" + "0770726f78795f61" + "0477657374" + "01" + "027332" +
		"00027331" + "0000" + "01" + "017a" + "00" +
		"0002" + "000000000000000f" + "01" + "0770726f78795f61" + "0000000000000010" +
		"0000000000000011" + "00" + "027331" + "0000000000000012"
	r, s := full()
	for _, x := range []struct {
		m    any
		want string
	}{
		{r, "0152" + "0770726f78795f61" + "0102030405060708" + "0000000000000002" + "00000003" +
			"0000001600000004" + "0000000000000005" + "0000000000000006" + "01" +
			"02" + "0000000000000007" + "0000000000000008"},
		{s, "0153" + state},
		{onLine(s), "0253" + "0000000000000012" + "0000000000000013" + state},
	} {
		if got := hex.EncodeToString(encode(t, x.m)); got != x.want {
			t.Errorf("%T is\n%s\nin release v0.1.0\n%s", x.m, got, x.want)
		}
	}
}

// TestBounds: what is too large is not written, and the largest that is written is read.
func TestBounds(t *testing.T) {
	r, _ := full()
	r.Node, r.Distinct = strings.Repeat("n", MaxName), make([]uint64, MaxDistinct)
	if b := encode(t, r); len(b) != MaxReportSize {
		t.Errorf("the largest report has %d bytes, MaxReportSize is %d", len(b), MaxReportSize)
	}
	for name, change := range map[string]func(*State){
		"name":     func(s *State) { s.Node = strings.Repeat("n", MaxName+1) },
		"rule":     func(s *State) { s.Rule.Names = strings.Repeat("n", MaxRule+1) },
		"zones":    func(s *State) { s.Rule.Zones = make([]Zone, MaxZones+1) },
		"sessions": func(s *State) { s.Sessions = make([]Session, MaxSessions+1) },
		"stranger": func(s *State) { s.Sessions[0].Node = "proxy_b" },
	} {
		_, s := full()
		change(&s)
		if _, _, err := AppendState(nil, s); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.Distinct = make([]uint64, MaxDistinct+1)
	if _, _, err := AppendReport(nil, r); !errors.Is(err, ErrEncoding) {
		t.Errorf("distinct: %v", err)
	}
}

// FuzzDecode: nothing panics, and what is accepted is exactly what Append writes.
func FuzzDecode(f *testing.F) {
	r, s := full()
	f.Add(encode(f, r))
	f.Add(encode(f, s))
	f.Add(encode(f, onLine(s)))
	for _, m := range []any{Hashes{Oldest: 1, Prints: []lsn.Print{{Timeline: 2, LSN: 3, Sum: 4}}}, Asks{{Node: "a", At: 2}}} {
		b, _ := encodeBoth(f, m)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := Decode(b, 2); err == nil {
			whole, older := encodeBoth(t, m)
			if again, err := Decode(whole, 2); !bytes.HasPrefix(b, whole[:older]) || !reflect.DeepEqual(again, m) {
				t.Fatalf("%x\nwas read in version 2 as %+v\nand again as %+v, %v", b, m, again, err)
			}
		}
		m, err := Decode(b, 1)
		if err != nil {
			if !errors.Is(err, ErrEncoding) {
				t.Fatal(err)
			}
			return
		}
		if again := encode(t, m); !bytes.Equal(again, b) {
			t.Fatalf("%x\nwas read as %+v\nwhich is %x", b, m, again)
		}
	})
}
