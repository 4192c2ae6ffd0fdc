package main

import (
	"log/slog"

	"github.com/replproxy/replproxy/fanout/backfill"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/proxy/admin"
	"github.com/replproxy/replproxy/proxy/config"
)

// newFiller fetches WAL that the store lacks, from the primary, else from the archive when there
// is one, as far as there is room on the volume. receiving says whether the walreceiver has its connection.
func newFiller(c *config.Config, up *upstream.Config, store *walstore.Store, room func() (int64, bool),
	receiving func() bool, log *slog.Logger,
) *filler {
	primary := &backfill.Primary{Upstream: up, Name: c.Name + "_backfill", Ready: receiving}
	f := &filler{primary: primary}
	f.Filler = backfill.New(backfill.Options{Store: store, Sources: f.sources(c), Room: room, Logger: log})
	return f
}

// filler is a backfill.Filler and what its sources are made of.
type filler struct {
	*backfill.Filler
	primary *backfill.Primary
}

func (f *filler) sources(c *config.Config) []backfill.Source {
	all := []backfill.Source{f.primary}
	if c.WAL.RestoreCommand != "" {
		all = append(all, &backfill.Archive{Command: c.WAL.RestoreCommand, Dir: c.DataDir})
	}
	return all
}

func backfillStatus(s backfill.Status) admin.Backfill {
	return admin.Backfill{
		Active: s.Active, Waiting: s.Waiting, Segments: int64(s.Segments), Bytes: int64(s.Bytes),
		Damaged: int64(s.Damaged), Failed: int64(s.Failed), LastError: s.LastError,
	}
}
