package walsource

import (
	"errors"
	"slices"
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestBeginsComesFirst: whoever must know where the store's next WAL comes from is told before any comes, and each time
// a stream begins. When that can't be kept no WAL is taken.
func TestBeginsComesFirst(t *testing.T) {
	w, m := newWalsender(t, nil), newMemStore()
	full := make(chan error, 1)
	full <- errors.New("no space left on device")
	told := make(chan bool, 2)
	var had []lsn.LSN
	r := start(t, w, m, func(o *Options) {
		o.Begins = func(member string, empty bool) error {
			select {
			case err := <-full:
				return err
			default:
			}
			had = append(had, m.Positions().Received)
			told <- member == "" && empty == (len(had) == 1)
			return nil
		}
	})
	refused := <-w.copies
	refused.send(xlog(fakeSeg, "abc"))
	r.await("the refusal", func(s Status) bool { return s.LastError == "no space left on device" })
	if got := m.bytes(); got != "" {
		t.Errorf("stored %q", got)
	}
	c := <-w.copies
	c.send(xlog(fakeSeg, "abc"))
	c.awaitFlush(fakeSeg + 3)
	c.Close()
	<-w.copies
	if first, again := <-told, <-told; !first || !again || !slices.Equal(had, []lsn.LSN{fakeSeg, fakeSeg + 3}) {
		t.Errorf("told %t %t, at %v", first, again, had)
	}
}
