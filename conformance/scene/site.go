package scene

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/proxy/admin"
)

// Site is a primary and a proxy in front of it.
type Site struct {
	In      *pgtest.Install
	Primary *pgtest.Server
	Proxy   *pgtest.Proxy
}

// NewSite starts both. The primary keeps its WAL, so that the proxy's can be compared with it.
func NewSite(t *testing.T, in *pgtest.Install, opts ...pgtest.Option) *Site {
	t.Helper()
	return NewSiteWith(t, in, pgtest.ProxyOptions{}, opts...)
}

func NewSiteWith(t *testing.T, in *pgtest.Install, po pgtest.ProxyOptions, opts ...pgtest.Option) *Site {
	t.Helper()
	opts = append([]pgtest.Option{pgtest.Settings("wal_keep_size = 2GB", "max_wal_size = 2GB")}, opts...)
	primary := in.Primary(t, opts...)
	po.Upstream, po.Password = primary.Conninfo(), primary.Password
	return &Site{In: in, Primary: primary, Proxy: pgtest.StartProxy(t, po)}
}

// Standby clones the primary and lets it follow the proxy.
func (s *Site) Standby(t *testing.T, name, slot string, opts ...pgtest.Option) *pgtest.Server {
	t.Helper()
	return StandbyOf(t, s.Primary, s.Proxy, name, slot, opts...)
}

func StandbyOf(t *testing.T, from *pgtest.Server, of *pgtest.Proxy, name, slot string,
	opts ...pgtest.Option) *pgtest.Server {
	t.Helper()
	so := pgtest.StandbyOptions{From: from, PrimaryConninfo: of.Conninfo(), SlotName: slot}
	return from.Install.Standby(t, so, append(opts, pgtest.Name(name))...)
}

// CreateSlot makes a physical slot in the proxy.
func (s *Site) CreateSlot(t *testing.T, name string) {
	t.Helper()
	Command(t, s.Proxy, "CREATE_REPLICATION_SLOT "+name+" PHYSICAL RESERVE_WAL")
}

// Command runs a replication command on a connection of its own, which is gone afterwards, and so is
// its walsender on the primary.
func Command(t *testing.T, proxy *pgtest.Proxy, sql string) [][]string {
	t.Helper()
	return proxy.SQL(t, sql, "replication=true")
}

// Attached waits until exactly these standbys stream from a proxy, and returns their rows. A standby that has replayed
// all may have found that in its own copy, and be on its way still.
func Attached(t *testing.T, proxy *pgtest.Proxy, names ...string) (rows []admin.Standby) {
	t.Helper()
	want := slices.Sorted(slices.Values(names))
	what := fmt.Sprintf("%v to stream from %s", want, proxy.Name)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, what, func() (bool, error) {
		rows = Status(t, proxy).Standbys
		var streaming []string
		for _, row := range rows {
			if row.State == "streaming" {
				streaming = append(streaming, row.ApplicationName)
			}
		}
		slices.Sort(streaming)
		return len(rows) == len(want) && slices.Equal(streaming, want), nil
	})
	return rows
}

// Verify asks the questions of the package doc. Nobody may write meanwhile.
func (s *Site) Verify(t *testing.T, standbys ...*pgtest.Server) {
	t.Helper()
	for _, standby := range standbys {
		pgtest.WaitCaughtUp(t, s.Primary, standby)
		pgtest.EqualData(t, s.Primary, standby)
	}
	rows := pgtest.WaitStreaming(t, s.Primary, 1)
	if rows[0].ApplicationName != s.Proxy.Name {
		t.Errorf("the primary's one walsender is not the proxy's: %v", rows[0])
	}
	s.VerifySegments(t, s.Proxy)
}

// VerifySegments compares a proxy's store with the primary's segments.
func (s *Site) VerifySegments(t *testing.T, proxy *pgtest.Proxy) {
	t.Helper()
	at := s.Primary.CurrentLSN(t)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, proxy.Name+" to flush "+at.String(), func() (bool, error) {
		return Status(t, proxy).Store.Flushed >= at, nil
	})
	dir := filepath.Join(proxy.DataDir, "wal")
	if n := pgtest.EqualSegments(t, s.Primary.SegSize(t), at, dir, s.Primary.WALDir()); n == 0 {
		t.Errorf("%s has no segment in common with the primary", dir)
	}
}

func Status(t *testing.T, proxy *pgtest.Proxy) admin.Status {
	t.Helper()
	var st admin.Status
	proxy.Status(t, &st)
	return st
}

// load writes to a server until it is stopped: small commits, now and then a large one.
type load struct {
	stop    context.CancelFunc
	done    chan error
	commits atomic.Int64
}

const LoadTable = "CREATE TABLE IF NOT EXISTS load (id bigserial PRIMARY KEY, at timestamptz, pad text)"

// StartLoad begins to write to a server. The load ends with stopLoad, or with the test.
func StartLoad(t *testing.T, server *pgtest.Server) *load {
	t.Helper()
	server.Exec(t, LoadTable)
	conn := server.Connect(t)
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{stop: cancel, done: make(chan error, 1)}
	go func() {
		const small, large = 300, 100_000 // bytes; a large row spans WAL pages
		for i := 0; ctx.Err() == nil; i++ {
			size := small
			if i%50 == 49 {
				size = large
			}
			// The text is random, so that TOAST does not compress it away.
			sql := fmt.Sprintf("INSERT INTO load (at, pad) SELECT now(), string_agg(md5(random()::text), '') "+
				"FROM generate_series(1, %d)", size/32+1)
			// Not under ctx: a statement that is cut off midway would break the connection.
			if _, err := pgtest.QueryConn(context.WithoutCancel(ctx), conn, sql); err != nil {
				l.done <- err
				return
			}
			l.commits.Add(1)
		}
		l.done <- nil
	}()
	t.Cleanup(cancel)
	return l
}

// WaitCommits waits for n more commits.
func (l *load) WaitCommits(t *testing.T, n int64) {
	t.Helper()
	want := l.commits.Load() + n
	pgtest.WaitFor(t, time.Minute, "the load", func() (bool, error) {
		select {
		case err := <-l.done:
			l.done <- err
			return false, fmt.Errorf("load ended: %w", err)
		default:
			return l.commits.Load() >= want, nil
		}
	})
}

// StopLoad ends the load and returns the number of its commits.
func (l *load) StopLoad(t *testing.T) int64 {
	t.Helper()
	l.stop()
	if err := <-l.done; err != nil {
		t.Fatalf("load: %v", err)
	}
	return l.commits.Load()
}
