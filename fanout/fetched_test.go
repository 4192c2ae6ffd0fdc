package fanout

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/replproxy/replproxy/fanout/backfill"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// TestRemovedIsSaidOfAFact: "has already been removed" is said when everybody answered that the WAL is not there.
// Otherwise the error says that it could not be fetched. wal-fetch, and with it a recovery, takes the first for the end
// of WAL.
func TestRemovedIsSaidOfAFact(t *testing.T) {
	removed := &walstore.RemovedError{Segment: "000000010000000000000002"}
	damaged := &walstore.DamagedError{File: "000000010000000000000002"}
	for _, c := range []struct {
		err, why error
		code     pgerror.Code
	}{
		{removed, fmt.Errorf("%w: segment", backfill.ErrUnavailable), pgerror.UndefinedFile},
		{removed, fmt.Errorf("%w: segment", backfill.ErrUnanswered), pgerror.IOError},
		{removed, backfill.ErrUnwanted, pgerror.IOError},
		{removed, context.Canceled, pgerror.IOError},
		{removed, nil, pgerror.IOError},
		{removed, backfill.ErrNoRoom, pgerror.DiskFull},
		{damaged, backfill.ErrUnavailable, pgerror.DataCorrupted},
	} {
		var e *pgerror.Error
		if err := fetchError(c.err, c.why); !errors.As(err, &e) || e.Code != c.code {
			t.Errorf("%v, because %v: %v, want %s", c.err, c.why, err, c.code)
		}
	}
}
