package walstore

import (
	"bytes"
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestFormatsRoundTrip has every field non-zero and different.
func TestFormatsRoundTrip(t *testing.T) {
	d := digest{Start: 0x1122334455667788, Length: 0x99AABBCCDDEEFF01, Sum: 0x0203040506070809}
	if got, err := decodeDigest(d.append(nil)); err != nil || got != d {
		t.Fatalf("digest: %+v, %v", got, err)
	}
	m := sureMark(0x11223344, 0x5566778899AABBCC, 0x0102030405060708)
	if p := m.append(nil); len(p) != markLength || decodeMark(p) != m {
		t.Fatalf("mark: %+v", decodeMark(p))
	}
	id := Identity{System: 0x1122334455667788, SegSize: 1 << 30, ServerMajor: 18}
	if p := encodeMeta(id); len(p) != metaLength || decodeMeta(p) != id {
		t.Fatalf("meta: %+v", decodeMeta(p))
	}
	one := appendCopy(nil, markMagic, 0x0102030405060708, m.append(nil))
	seq, payload, err := decodeCopy(one, markMagic, markLength)
	if err != nil || seq != 0x0102030405060708 || decodeMark(payload) != m {
		t.Fatalf("one: %d, %v", seq, err)
	}
	for i := range one {
		bad := bytes.Clone(one)
		bad[i] ^= 1
		if _, _, err := decodeCopy(bad, markMagic, markLength); err == nil {
			t.Fatalf("byte %d does not count", i)
		}
	}
}

// TestFormatsOnDisk pins the bytes of version 1: a store written by one release is read by the next.
func TestFormatsOnDisk(t *testing.T) {
	cases := []struct {
		name string
		got  []byte
		want string
	}{
		{"mark one", appendCopy(nil, markMagic, 7, sureMark(2, 0x3000060, 0x1000000).append(nil)),
			"RPXK\x01\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00" +
				"\x60\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x02\x00\x00\x00"},
		{"meta one", appendCopy(nil, metaMagic, 1, encodeMeta(Identity{0x0102030405060708, 16 << 20, 15})),
			"RPXM\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00" +
				"\x08\x07\x06\x05\x04\x03\x02\x01\x00\x00\x00\x01\x0f\x00\x00\x00"},
		{"digest", digest{0x3000000, 16 << 20, 0x1122}.append(nil),
			"RPXD\x01\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00" +
				"\x00\x00\x00\x01\x00\x00\x00\x00\x22\x11\x00\x00\x00\x00\x00\x00"},
	}
	for _, c := range cases {
		if body := c.got[:len(c.got)-copyHashLen]; string(body) != c.want {
			t.Errorf("%s: got %q", c.name, body)
		}
	}
}

func FuzzDigest(f *testing.F) {
	f.Add(digest{1, 2, 3}.append(nil))
	f.Add([]byte(digestMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		if d, err := decodeDigest(b); err == nil && !bytes.Equal(d.append(nil), b) {
			t.Fatalf("%x is not what it was decoded from", d.append(nil))
		}
	})
}

func FuzzMark(f *testing.F) {
	f.Add(twoCopies(markMagic, sureMark(1, 2, 3).append(nil)))
	f.Add(make([]byte, 2*copyStride))
	f.Fuzz(func(t *testing.T, file []byte) {
		seq, p, err := newestCopy(file, markMagic, markLength)
		if err != nil {
			return
		}
		m := decodeMark(p)
		one := appendCopy(nil, markMagic, seq, m.append(nil))
		if !bytes.Contains(file, one) {
			t.Fatalf("%+v is not in the file", m)
		}
	})
}

func FuzzMeta(f *testing.F) {
	f.Add(twoCopies(metaMagic, encodeMeta(Identity{lsn.SystemID(5), testSeg, 15})))
	f.Add([]byte(metaMagic))
	f.Fuzz(func(t *testing.T, file []byte) {
		seq, p, err := newestCopy(file, metaMagic, metaLength)
		if err == nil && !bytes.Contains(file, appendCopy(nil, metaMagic, seq, encodeMeta(decodeMeta(p)))) {
			t.Fatal("decoded something else")
		}
	})
}
