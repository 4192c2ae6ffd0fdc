package report

import (
	"github.com/replproxy/replproxy/fanout/backfill"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/admin"
)

// storeStatus shows the store's positions, and the room on its volume.
func storeStatus(x *Snapshot) admin.Store {
	s := admin.Store{
		Dir: x.Config.DataDir, Timeline: x.Store.Timeline, Oldest: x.Store.Oldest, Received: x.Store.Received,
		Written: x.Store.Written, Flushed: x.Store.Flushed, Paused: x.Store.Paused,
		DiskFull: x.Store.Full, VolumeBytes: x.Volume.Total, FreeBytes: x.Volume.Free,
	}
	if id := x.Store.Identity; id.System != 0 {
		s.System, s.SegSize = id.System.String(), int64(id.SegSize)
	}
	if at := x.Store.VotedFrom; at != lsn.Invalid {
		s.VotedFrom, s.VotedBytes = max(at, s.Oldest), x.Store.VotedBytes
	}
	if r := x.Store.Repair; r != nil {
		s.RepairTo, s.HeldTo = r.To, x.Store.Held
	}
	return s
}

func backfillStatus(s backfill.Status) admin.Backfill {
	return admin.Backfill{
		Active: s.Active, Waiting: s.Waiting, Segments: int64(s.Segments), Bytes: int64(s.Bytes),
		Damaged: int64(s.Damaged), Failed: int64(s.Failed), LastError: s.LastError,
	}
}
