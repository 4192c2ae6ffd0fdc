package daemon

import (
	"context"

	"github.com/replproxy/replproxy/fanout/backfill"
	"github.com/replproxy/replproxy/fanout/walsource"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/config"
)

// openSources makes the ladder of what WAL comes from. Without a cluster no rung has a member.
func (p *parts) openSources(c *config.Config) {
	p.archive = walsource.NewArchive(c.DataDir, c.WAL.RestoreCommand)
	all := []walsource.Source{p.archive, &walsource.OlderSegments{On: walsource.RungPrimary, From: &backfill.Primary{
		Upstream: p.upstream, Name: c.Name + "_backfill", Ready: p.streaming,
	}}}
	if p.members != nil {
		p.feeder = p.newFeeder()
		all = append(all, p.feeder, &walsource.OlderSegments{
			On: walsource.RungMember, From: p.members.segments(p.upstream, c.Name),
		})
	}
	if c.Upstream.Pulls() {
		all = append(all, p.newViaCluster())
	}
	p.sources = walsource.NewLadder(all...)
	p.filler = backfill.New(backfill.Options{
		Store: p.store, Sources: p.sources.Segments(), Room: p.room, Logger: p.part("backfill"),
	})
}

// restore continues the store from other sources, up to until, where the primary has removed that WAL; see
// [walsource.Options].
func (p *parts) restore(ctx context.Context, until lsn.LSN) (int, error) {
	return p.sources.Restore(ctx, p.store, until)
}
