package stamp

import (
	"bytes"
	"slices"
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestRecords: what is written is read, and what is no number of records is refused.
func TestRecords(t *testing.T) {
	want := []Record{
		{Step: Readable, At: lsn.LSN(1), Time: -1},
		{Step: Reported, Who: ByStore, At: lsn.LSN(1 << 40), Time: 1 << 60},
	}
	b := []byte{0, 0, 0, 0, 0, 0, 0, 7}
	for _, r := range want {
		b = r.append(b)
	}
	got, lost, err := ReadAll(bytes.NewReader(b))
	if err != nil || lost != 7 || !slices.Equal(got, want) {
		t.Errorf("%v, %d lost, %v", got, lost, err)
	}
	if _, _, err := ReadAll(bytes.NewReader(b[:len(b)-1])); err == nil {
		t.Error("a record that is cut short is read")
	}
	b[8] = byte(Steps)
	if _, _, err := ReadAll(bytes.NewReader(b)); err == nil {
		t.Error("a step that does not exist is read")
	}
	for s := range Steps {
		if s.String() == "" {
			t.Errorf("step %d has no name", uint8(s))
		}
	}
}
