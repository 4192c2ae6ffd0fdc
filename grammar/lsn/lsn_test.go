package lsn_test

import (
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]lsn.LSN{
		"0/0": 0, "0/1": 1, "1/0": 1 << 32, "16/B374D848": 0x16B374D848, "16/b374d848": 0x16B374D848,
		"FFFFFFFF/FFFFFFFF": ^lsn.LSN(0), "00000001/0000000A": 1<<32 | 10,
	} {
		if got, err := lsn.Parse(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "/", "0", "0/", "/0", "0/0/0", " 0/0", "0/0 ", "0/0\n", "g/0", "0/g", "-1/0", "0/+1", "0x1/0", "1_0/0",
		"100000000/0", "0/000000000", "0 /0", "0//0",
	} {
		if got, err := lsn.Parse(text); !errors.Is(err, lsn.ErrSyntax) || got != lsn.Invalid {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestText(t *testing.T) {
	for l, want := range map[lsn.LSN]string{
		0: "0/0", 10: "0/A", 1 << 32: "1/0", 0x16B374D848: "16/B374D848", ^lsn.LSN(0): "FFFFFFFF/FFFFFFFF",
	} {
		if l.String() != want || l.LogValue().Kind() != slog.KindString || l.LogValue().String() != want {
			t.Errorf("%d: %s, %s, want %s", uint64(l), l, l.LogValue(), want)
		}
	}
	type document struct {
		At     lsn.LSN
		System lsn.SystemID
	}
	in := document{At: 0x16B374D848, System: 18446744073709551615}
	b, err := json.Marshal(in)
	if want := `{"At":"16/B374D848","System":"18446744073709551615"}`; err != nil || string(b) != want {
		t.Errorf("%s, %v", b, err)
	}
	var out document
	if err := json.Unmarshal(b, &out); err != nil || out != in {
		t.Errorf("%+v, %v", out, err)
	}
	for _, bad := range []string{`{"At":"x"}`, `{"System":"-1"}`} {
		if err := json.Unmarshal([]byte(bad), &out); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
	if out != in {
		t.Errorf("a failed read changed the value: %+v", out)
	}
}

func TestPage(t *testing.T) {
	l := lsn.LSN(3*lsn.PageSize + 7)
	if l.PageStart() != 3*lsn.PageSize || l.PageOffset() != 7 || l.IsPageStart() || !l.PageStart().IsPageStart() {
		t.Errorf("%v %d %v", l.PageStart(), l.PageOffset(), l.IsPageStart())
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"0/0", "16/B374D848", "ffffffff/FFFFFFFF", "1/", "/", "123456789/0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := lsn.Parse(text)
		if err != nil {
			if !errors.Is(err, lsn.ErrSyntax) || l != lsn.Invalid {
				t.Errorf("%q: %v, %v", text, l, err)
			}
			return
		}
		if again, err := lsn.Parse(l.String()); err != nil || again != l {
			t.Errorf("%q is %s, read back as %v, %v", text, l, again, err)
		}
		if len(text) > 17 || len(l.String()) > len(text) {
			t.Errorf("%q became %s", text, l)
		}
	})
}

func TestSegSize(t *testing.T) {
	for text, want := range map[string]lsn.SegSize{
		"16MB": 16 << 20, "1MB": 1 << 20, "1GB": 1 << 30, "1024MB": 1 << 30, "1048576B": 1 << 20, "1048576": 1 << 20,
		"2048kB": 2 << 20,
	} {
		got, err := lsn.ParseSegSize(text)
		if err != nil || got != want || !got.Valid() {
			t.Errorf("%q: %d, %v", text, got, err)
		}
		if again, err := lsn.ParseSegSize(got.String()); err != nil || again != got {
			t.Errorf("%q printed %s", text, got)
		}
	}
	for _, text := range []string{
		"", "MB", "16", "16mb", "16 MB", "3MB", "0MB", "512kB", "2GB", "-1MB", "16MBx", "17179869185GB",
		"18446744073709551616", strings.Repeat("9", 40) + "MB",
	} {
		if got, err := lsn.ParseSegSize(text); !errors.Is(err, lsn.ErrSegSize) {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
}

func TestSegmentNames(t *testing.T) {
	for _, c := range []struct {
		size  lsn.SegSize
		tli   lsn.TimelineID
		at    lsn.LSN
		segno uint64
		name  string
	}{
		{16 << 20, 1, 0, 0, "000000010000000000000000"},
		{16 << 20, 1, 0x3000000, 3, "000000010000000000000003"},
		{16 << 20, 10, 0x1_FF123456, 511, "0000000A00000001000000FF"},
		{1 << 20, 1, 0x1_00000000, 4096, "000000010000000100000000"},
		{1 << 20, 1, 0xFFFFF000, 4095, "000000010000000000000FFF"},
		{1 << 30, 0xFFFFFFFF, 0xFFFFFFFF_FFFFFFFF, 0x3FFFFFFFF, "FFFFFFFFFFFFFFFF00000003"},
	} {
		segno := c.size.Segno(c.at)
		name := c.size.FileName(c.tli, segno)
		if segno != c.segno || name != c.name {
			t.Errorf("%s at %s: segment %d, %s", c.size, c.at, segno, name)
		}
		if tli, no, ok := c.size.ParseFileName(name); !ok || tli != c.tli || no != segno {
			t.Errorf("%s: %d %d %v", name, tli, no, ok)
		}
		start := c.size.Start(segno)
		if start != c.size.Floor(c.at) || !c.size.IsStart(start) || c.size.Offset(c.at) != int64(c.at-start) {
			t.Errorf("%s at %s: start %s, floor %s, offset %d", c.size, c.at, start, c.size.Floor(c.at), c.size.Offset(c.at))
		}
	}
	for _, name := range []string{
		"", "00000001000000000000000", "0000000100000000000000000", "000000010000000000000100", "00000001.history",
		"00000001000000000000000a", "000000010000000000000001.partial", "00000001000000000000000G",
		"+00000010000000000000001",
	} {
		if _, _, ok := lsn.DefaultSegSize.ParseFileName(name); ok {
			t.Errorf("%q is no segment", name)
		}
	}
}

func FuzzSegmentName(f *testing.F) {
	f.Add("000000010000000000000003", uint8(4))
	f.Add("0000000A00000001000000FF", uint8(0))
	f.Fuzz(func(t *testing.T, name string, shift uint8) {
		size := lsn.MinSegSize << (shift % 11)
		tli, segno, ok := size.ParseFileName(name)
		if ok && size.FileName(tli, segno) != name {
			t.Errorf("%q read as timeline %d segment %d of %s, written %q", name, tli, segno, size, size.FileName(tli, segno))
		}
	})
}

func TestProgressUpTo(t *testing.T) {
	p := lsn.Progress{Write: 30, Flush: 20, Apply: 10}
	for limit, want := range map[lsn.LSN]lsn.Progress{
		40: p, 25: {Write: 25, Flush: 20, Apply: 10}, 5: {Write: 5, Flush: 5, Apply: 5}, 0: {},
	} {
		if got := p.UpTo(limit); got != want {
			t.Errorf("up to %s: %+v", limit, got)
		}
	}
}
