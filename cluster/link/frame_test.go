package link

import (
	"encoding/hex"
	"strings"
	"testing"
)

// What a member of release v0.1.0 gets is what that release sent, byte for byte: these are its bytes.
func TestFramesOfVersion1(t *testing.T) {
	o := NewOutbox()
	at := uint64(1)
	var got []string
	collect := func() {
		var b []byte
		b, at = o.collect(nil, at, 1)
		got = append(got, hex.EncodeToString(b))
	}
	put := func(id ID, payload string, older int) {
		t.Helper()
		err := o.PutLonger(id, func(b []byte) ([]byte, int, error) { return append(b, payload...), older, nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	got = append(got, hex.EncodeToString(appendHello(nil, 1, 0x1112131415161718)))
	at = 0
	collect()
	put(ID{2, 7}, "ab and more", 2)
	collect()
	put(ID{9, 1}, "news", -1)
	put(ID{9, 2}, "news", -1)
	o.Delete(ID{9, 1})
	collect()
	o.Delete(ID{2, 7})
	collect()
	put(ID{2, 8}, "c", 1)
	at = 0
	collect()
	got = append(got, hex.EncodeToString(appendFrame(nil, frameHeartbeat, nil)))
	want := []string{
		"0000000b48" + "0001" + "1112131415161718",
		"0000000142" + "0000000145",
		"0000000c49" + "02" + "0000000000000007" + "6162",
		"",
		"0000000a44" + "02" + "0000000000000007",
		"0000000142" + "0000000b49" + "02" + "0000000000000008" + "63" + "0000000145",
		"000000014b",
	}
	if a, b := strings.Join(got, "\n"), strings.Join(want, "\n"); a != b {
		t.Errorf("a member of version 1 gets\n%s\nrelease v0.1.0 sent\n%s", a, b)
	}
	if b, _ := o.collect(nil, 0, Newest); !strings.Contains(string(b), "news") {
		t.Errorf("an item of version 2 is missing: %q", b)
	}
}

// From version 2 on a reader skips what it does not know; in version 1 it is an error.
func TestUnknownIsSkipped(t *testing.T) {
	for name, body := range map[string]string{
		"hello with more":     "H\x00\x02\x00\x00\x00\x00\x00\x00\x00\x01and more",
		"deletion with more":  "D\x01\x00\x00\x00\x00\x00\x00\x00\x01and more",
		"heartbeat with more": "Kand more",
		"an unknown type":     "Zand more",
	} {
		if _, err := parse([]byte(body), 2); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := parse([]byte(strings.Replace(body, "\x00\x02", "\x00\x01", 1)), 1); err == nil {
			t.Errorf("%s was accepted in version 1", name)
		}
	}
	for _, short := range []string{"H\x00\x02", "D\x01", "I"} {
		if _, err := parse([]byte(short), 2); err == nil {
			t.Errorf("%q was accepted", short)
		}
	}
	if _, err := parse([]byte("H\x00\x03\x00\x00\x00\x00\x00\x00\x00\x01"), 2); err == nil {
		t.Error("a hello of another version than was agreed was accepted")
	}
}

func FuzzFrames(f *testing.F) {
	f.Add(appendHello(appendItem(nil, ID{1, 2}, []byte("x")), 1, 3))
	f.Add(appendDelete(appendFrame(nil, frameEnd, nil), ID{9, 9}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 'I'})
	f.Fuzz(func(t *testing.T, b []byte) {
		for version := Oldest; version <= Newest; version++ {
			r := &reader{r: strings.NewReader(string(b)), version: version}
			for {
				fr, err := r.next()
				if err != nil {
					break
				}
				var again []byte
				switch fr.typ {
				case frameItem:
					again = appendItem(nil, fr.id, fr.payload)
				case frameDelete:
					again = appendDelete(nil, fr.id)
				case frameHello:
					again = appendHello(nil, version, fr.run)
				default:
					again = appendFrame(nil, fr.typ, nil)
				}
				if version > Oldest { // what is skipped makes it longer
					again = again[lengthSize:]
				}
				if !strings.Contains(string(b), string(again)) {
					t.Fatalf("%q is not rendered as it was read", again)
				}
			}
			if cap(r.buf) > maxFrame {
				t.Fatalf("buffer of %d bytes", cap(r.buf))
			}
		}
	})
}
