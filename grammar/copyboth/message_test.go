package copyboth_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Every field has a value of its own in every byte, so that no two can be mistaken for each other.
func fullMessages() (copyboth.XLogData, copyboth.PrimaryKeepalive, copyboth.StatusUpdate,
	copyboth.HotStandbyFeedback) {
	return copyboth.XLogData{Start: 0x0102030405060708, WALEnd: 0x1112131415161718,
			SentAt: 0x2122232425262728, Data: []byte("wal")},
		copyboth.PrimaryKeepalive{WALEnd: 0x3132333435363738, SentAt: 0x4142434445464748, ReplyRequested: true},
		copyboth.StatusUpdate{Progress: lsn.Progress{Write: 0x0102030405060708, Flush: 0x1112131415161718, Apply: 0x2122232425262728},
			SentAt: 0x3132333435363738, ReplyRequested: true},
		copyboth.HotStandbyFeedback{SentAt: 0x0102030405060708, Xmin: 0x2122232411121314,
			CatalogXmin: 0x4142434431323334}
}

// TestBytes holds the encodings against the tables of facts E3, written out by hand.
func TestBytes(t *testing.T) {
	w, k, r, h := fullMessages()
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"w", append(w.AppendHeader(nil), w.Data...), "w" + "\x01\x02\x03\x04\x05\x06\x07\x08" +
			"\x11\x12\x13\x14\x15\x16\x17\x18" + "\x21\x22\x23\x24\x25\x26\x27\x28" + "wal"},
		{"k", k.Append(nil), "k" + "\x31\x32\x33\x34\x35\x36\x37\x38" + "\x41\x42\x43\x44\x45\x46\x47\x48" + "\x01"},
		{"r", r.Append(nil), "r" + "\x01\x02\x03\x04\x05\x06\x07\x08" + "\x11\x12\x13\x14\x15\x16\x17\x18" +
			"\x21\x22\x23\x24\x25\x26\x27\x28" + "\x31\x32\x33\x34\x35\x36\x37\x38" + "\x01"},
		{"h: xmin before its epoch", h.Append(nil), "h" + "\x01\x02\x03\x04\x05\x06\x07\x08" +
			"\x11\x12\x13\x14" + "\x21\x22\x23\x24" + "\x31\x32\x33\x34" + "\x41\x42\x43\x44"},
	} {
		if string(c.got) != c.want {
			t.Errorf("%s:\n got  %x\n want %x", c.name, c.got, c.want)
		}
	}
	for _, c := range []struct{ got, want int }{
		{len(w.AppendHeader(nil)), copyboth.XLogDataHeaderSize},
		{len(k.Append(nil)), copyboth.PrimaryKeepaliveSize},
		{len(r.Append(nil)), copyboth.StatusUpdateSize},
		{len(h.Append(nil)), copyboth.HotStandbyFeedbackSize},
	} {
		if c.got != c.want {
			t.Errorf("a message of %d bytes, its constant says %d", c.got, c.want)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	w, k, r, h := fullMessages()
	prefix := []byte("kept")
	b := append(w.AppendHeader(prefix), w.Data...)
	if !bytes.HasPrefix(b, prefix) {
		t.Error("AppendHeader does not append")
	}
	gotW, err := copyboth.DecodeXLogData(b[len(prefix):])
	if err != nil || gotW.Start != w.Start || gotW.WALEnd != w.WALEnd || gotW.SentAt != w.SentAt ||
		!bytes.Equal(gotW.Data, w.Data) {
		t.Errorf("%+v, %v", gotW, err)
	}
	if gotW.Data[0] = 'W'; b[len(b)-3] != 'W' {
		t.Error("Data does not alias the payload")
	}
	if got, err := copyboth.DecodePrimaryKeepalive(k.Append(nil)); err != nil || got != k {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := copyboth.DecodeStatusUpdate(r.Append(nil)); err != nil || got != r {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := copyboth.DecodeHotStandbyFeedback(h.Append(nil)); err != nil || got != h {
		t.Errorf("%+v, %v", got, err)
	}
	k.ReplyRequested, r.ReplyRequested = false, false
	if got, err := copyboth.DecodePrimaryKeepalive(k.Append(nil)); err != nil || got != k {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := copyboth.DecodeStatusUpdate(r.Append(nil)); err != nil || got != r {
		t.Errorf("%+v, %v", got, err)
	}
}

// decoders by tag; each gives back what it read, encoded again.
func decoders() map[byte]func([]byte) ([]byte, error) {
	return map[byte]func([]byte) ([]byte, error){
		copyboth.TagXLogData: func(p []byte) ([]byte, error) {
			m, err := copyboth.DecodeXLogData(p)
			return append(m.AppendHeader(nil), m.Data...), err
		},
		copyboth.TagPrimaryKeepalive: func(p []byte) ([]byte, error) {
			m, err := copyboth.DecodePrimaryKeepalive(p)
			return m.Append(nil), err
		},
		copyboth.TagStatusUpdate: func(p []byte) ([]byte, error) {
			m, err := copyboth.DecodeStatusUpdate(p)
			return m.Append(nil), err
		},
		copyboth.TagHotStandbyFeedback: func(p []byte) ([]byte, error) {
			m, err := copyboth.DecodeHotStandbyFeedback(p)
			return m.Append(nil), err
		},
	}
}

func payloads() [][]byte {
	w, k, r, h := fullMessages()
	return [][]byte{append(w.AppendHeader(nil), w.Data...), k.Append(nil), r.Append(nil), h.Append(nil)}
}

// TestWrongSize: one byte less, one more, nothing, another tag.
func TestWrongSize(t *testing.T) {
	for _, p := range payloads() {
		decode := decoders()[p[0]]
		bad := [][]byte{nil, {}, p[:1], append([]byte{'x'}, p[1:]...)}
		if p[0] == copyboth.TagXLogData {
			bad = append(bad, p[:copyboth.XLogDataHeaderSize-1])
		} else {
			bad = append(bad, p[:len(p)-1], append(bytes.Clone(p), 0))
		}
		for _, b := range bad {
			if _, err := decode(b); !errors.Is(err, copyboth.ErrMessage) {
				t.Errorf("%c of %d bytes: %v", p[0], len(b), err)
			}
		}
	}
	if m, err := copyboth.DecodeXLogData(payloads()[0][:copyboth.XLogDataHeaderSize]); err != nil || len(m.Data) != 0 {
		t.Errorf("XLogData without data: %+v, %v", m, err)
	}
}

func TestTime(t *testing.T) {
	epoch := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		at   time.Time
		want copyboth.Time
	}{
		{epoch, 0},
		{epoch.Add(1500 * time.Nanosecond), 1},
		{epoch.Add(-time.Second), -1_000_000},
		{time.Date(2026, 7, 1, 12, 0, 0, 123456000, time.FixedZone("", 7200)), 836_215_200_123_456},
	} {
		got := copyboth.TimeOf(c.at)
		if got != c.want || !got.Time().Equal(c.at.Truncate(time.Microsecond)) || got.Time().Location() != time.UTC {
			t.Errorf("%s is %d, back %s; want %d", c.at, got, got.Time(), c.want)
		}
	}
}

// TestNoAllocation: encoders and decoders run once per message and standby.
func TestNoAllocation(t *testing.T) {
	w, k, r, h := fullMessages()
	buf, all := make([]byte, 0, 64), payloads()
	n := testing.AllocsPerRun(100, func() {
		buf = w.AppendHeader(buf[:0])
		buf = k.Append(buf[:0])
		buf = r.Append(buf[:0])
		buf = h.Append(buf[:0])
		_, err1 := copyboth.DecodeXLogData(all[0])
		_, err2 := copyboth.DecodePrimaryKeepalive(all[1])
		_, err3 := copyboth.DecodeStatusUpdate(all[2])
		_, err4 := copyboth.DecodeHotStandbyFeedback(all[3])
		if err1 != nil || err2 != nil || err3 != nil || err4 != nil {
			t.Error(err1, err2, err3, err4)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzDecode: no panic; what is accepted encodes back to the same bytes, except that a reply request
// may be any byte but 0.
func FuzzDecode(f *testing.F) {
	for _, p := range payloads() {
		f.Add(p)
		f.Add(p[:len(p)-1])
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		for tag, decode := range decoders() {
			again, err := decode(p)
			if err != nil {
				if !errors.Is(err, copyboth.ErrMessage) {
					t.Errorf("%c: %v", tag, err)
				}
				continue
			}
			want := bytes.Clone(p)
			if last := len(want) - 1; (tag == 'k' || tag == 'r') && want[last] != 0 {
				want[last] = 1
			}
			if want[0] != tag || !bytes.Equal(again, want) {
				t.Errorf("%c: %x read and written is %x", tag, p, again)
			}
		}
	})
}
