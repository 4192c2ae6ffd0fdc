package daemon

import (
	"context"
	"sync/atomic"

	"github.com/replproxy/replproxy/fanout/backfill"
	"github.com/replproxy/replproxy/fanout/walsource"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/config"
)

// openSources makes the ladder of what WAL comes from. Old WAL comes from a member of the cluster, which costs the
// primary nothing, else from the primary, else from the archive when there is one.
func (p *parts) openSources(c *config.Config) {
	var all []walsource.Source
	if p.members != nil {
		p.feeder = p.newFeeder()
		all = append(all, p.feeder)
		if c.Upstream.Via == config.ViaCluster {
			all = append(all, p.newViaCluster())
		}
		all = append(all, newMemberSource(p.upstream, p.members, c.Name))
	}
	p.archive = &archive{dir: c.DataDir}
	p.archive.set(c.WAL.RestoreCommand)
	p.sources = walsource.NewLadder(append(all, &primarySource{
		backfill.Primary{Upstream: p.upstream, Name: c.Name + "_backfill", Ready: p.streaming},
	}, p.archive)...)
	p.filler = backfill.New(backfill.Options{
		Store: p.store, Sources: p.sources.Segments(), Room: p.room, Logger: p.part("backfill"),
	})
}

// restore continues the store where the primary has removed what follows; see [walsource.Options].
func (p *parts) restore(ctx context.Context, until lsn.LSN) (int, error) {
	return p.sources.Restore(ctx, p.store, until)
}

// primarySource is the primary. Its stream is found by the election among its hosts.
type primarySource struct{ backfill.Primary }

func (s *primarySource) Rung() walsource.Rung { return walsource.RungPrimary }

func (s *primarySource) Stream(context.Context, map[string]string) (walsource.Conn, error) {
	return nil, nil
}

// Segments returns the primary for WAL that is older than the store: what continues the store is streamed.
func (s *primarySource) Segments(ahead bool) backfill.Source {
	if ahead {
		return nil
	}
	return &s.Primary
}

// archive runs wal.restore_command, which a reload may set.
type archive struct {
	dir     string
	command atomic.Pointer[string]
}

func (a *archive) set(command string) { a.command.Store(&command) }

func (a *archive) Rung() walsource.Rung { return walsource.RungArchive }

func (a *archive) Stream(context.Context, map[string]string) (walsource.Conn, error) { return nil, nil }

func (a *archive) Segments(ahead bool) backfill.Source {
	command := *a.command.Load()
	if command == "" {
		return nil
	}
	from := &backfill.Archive{Command: command, Dir: a.dir}
	if ahead { // both may run at once, and each has a file of its own
		from.Prefix = "forward"
	}
	return from
}
