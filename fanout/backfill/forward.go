package backfill

import (
	"context"
	"errors"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Forward continues s, whose upstream lacks the WAL that follows, with whole segments from src that end at or below
// until, as long as there are some. It returns how many came, and why no more did; nil: all up to until are there. It
// blocks while segments come, and until ctx ends. Nothing else may write to s meanwhile.
func Forward(ctx context.Context, s *walstore.Store, src Source, until lsn.LSN) (segments int, err error) {
	id, ok := s.Identity()
	for ; ok; segments++ {
		seg, some := s.NextSegment()
		if !some || seg.End > until {
			break
		}
		wal, err := src.Open(ctx, id, Run{Timeline: seg.Timeline, Start: seg.Start, End: seg.End})
		if err != nil {
			return segments, err
		}
		if err := errors.Join(s.AppendSegment(ctx, seg, wal), wal.Close()); err != nil {
			return segments, err
		}
	}
	return segments, nil
}
