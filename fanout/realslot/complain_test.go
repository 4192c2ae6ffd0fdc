package realslot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestComplaintsAreLoggedOnce: while a slot on the primary can't be moved, the position where it belongs goes on. That
// is the same complaint. Another one is logged, and the same again after it was gone.
func TestComplaintsAreLoggedOnce(t *testing.T) {
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, nil))
	own := NewProxySlot(ProxySlotOptions{Logger: logger})
	all := &Maintainer{o: Options{Logger: logger}, said: map[string]string{}}
	at := func(target lsn.LSN, why string) error {
		return fmt.Errorf("put the slot where the store ends, %s: %w", target, errors.New(why))
	}
	untold := func(target lsn.LSN) error { return fmt.Errorf("%w: %w", errTell, at(target, "busy")) }
	for name, complain := range map[string]func(error){
		"the proxy's slot": func(err error) { own.complain(context.Background(), err) },
		"a mirrored slot":  func(err error) { all.complain("s1", err) },
	} {
		for i, c := range []struct {
			err   error
			lines int
		}{
			{at(0x5000000, "full"), 1},
			{at(0x6000000, "full"), 0},
			{at(0x6000000, "active"), 1},
			{untold(0x6000000), 1},
			{untold(0x7000000), 0},
			{nil, 0},
			{untold(0x8000000), 1},
		} {
			log.Reset()
			complain(c.err)
			if n := strings.Count(log.String(), "\n"); n != c.lines {
				t.Errorf("%s, %d: %d lines, not %d: %v", name, i, n, c.lines, c.err)
			}
		}
	}
}
