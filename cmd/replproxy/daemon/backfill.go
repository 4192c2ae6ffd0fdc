package daemon

import (
	"context"
	"log/slog"
	"slices"

	"github.com/replproxy/replproxy/fanout/backfill"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/proxy/config"
)

// newFiller fetches WAL that the store lacks, from a member of the cluster, which costs the primary nothing,
// else from the primary, else from the archive when there is one, as far as there is room on the volume.
// receiving says whether the walreceiver has its connection.
func newFiller(c *config.Config, up *upstream.Config, members *membership, store *walstore.Store,
	room func() (int64, bool), receiving func() bool, log *slog.Logger,
) *filler {
	f := &filler{}
	if members != nil {
		f.fixed = append(f.fixed, &memberSource{up, members, c.Name})
	}
	f.fixed = append(f.fixed, &backfill.Primary{Upstream: up, Name: c.Name + "_backfill", Ready: receiving})
	f.Filler = backfill.New(backfill.Options{Store: store, Sources: f.sources(c), Room: room, Logger: log})
	return f
}

// filler is a backfill.Filler and what its sources are made of.
type filler struct {
	*backfill.Filler
	fixed []backfill.Source // whatever the configuration says
}

func (f *filler) sources(c *config.Config) []backfill.Source {
	all := slices.Clone(f.fixed)
	if c.WAL.RestoreCommand != "" {
		all = append(all, &backfill.Archive{Command: c.WAL.RestoreCommand, Dir: c.DataDir})
	}
	return all
}

// restorer continues the store from the archive, if one is configured when it is asked.
func restorer(store *walstore.Store, now func() *config.Config) func(context.Context, lsn.LSN) (int, error) {
	return func(ctx context.Context, until lsn.LSN) (int, error) {
		c := now()
		if c.WAL.RestoreCommand == "" {
			return 0, nil
		}
		archive := &backfill.Archive{Command: c.WAL.RestoreCommand, Dir: c.DataDir, Prefix: "forward"}
		return backfill.Forward(ctx, store, archive, until)
	}
}
