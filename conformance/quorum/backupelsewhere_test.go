package quorum

import (
	"path/filepath"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// TestBackupElsewhereDoesNotVote: a base backup runs through one member, and the WAL under its name streams through the
// other one. That WAL has the commit, and the commit waits. Once the backup is over, pg_receivewal of that name counts.
func TestBackupElsewhereDoesNotVote(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	primary := in.Primary(t, pgtest.Settings("wal_keep_size = 1GB"))
	primary.Exec(t, "CREATE TABLE q (n int)")
	all := proxies(t, in, primary, "ANY 1 (db1)", "a", "b")
	s := &scene.QuorumSite{Site: &scene.Site{In: in, Primary: primary, Proxy: all[1]}}
	primary.Set(t, "synchronous_standby_names = 'ANY 1 (a, b)'")
	primary.Reload()
	dir := in.TempDir(t)
	backup := scene.StartTool(t, in, dir, "pg_basebackup", "-D", filepath.Join(dir, "db1"), "-c", "fast", "-r", "32k", "-X", "none",
		"-d", all[0].Conninfo("application_name=db1"))
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the base backup", func() (bool, error) {
		return primary.QueryRow(t, "SELECT count(*) FROM pg_stat_progress_basebackup WHERE phase LIKE 'streaming%'")[0] == "1", nil
	})
	receive := func() *scene.Background {
		return scene.StartTool(t, in, dir, "pg_receivewal", "-D", dir, "--synchronous", "--no-loop", "-d",
			all[1].Conninfo("application_name=db1"))
	}
	first := receive()
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the WAL to stream", func() (bool, error) {
		return len(scene.Status(t, all[1]).Standbys) == 1, nil
	})
	c := s.Begin(t, "on")
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the commit to be received", func() (bool, error) {
		st := scene.Status(t, all[1]).Standbys
		return len(st) == 1 && st[0].Flush >= c.At, nil
	})
	if !s.Waits(t, c) {
		t.Error("a commit was acknowledged on a base backup that another proxy serves")
	}
	for _, tool := range []*scene.Background{backup, first} {
		_ = tool.Cmd.Process.Kill()
		tool.Done <- <-tool.Done
	}
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "both to be over", func() (bool, error) {
		over := primary.QueryRow(t, "SELECT count(*) FROM pg_stat_progress_basebackup")[0] == "0"
		return over && len(scene.Status(t, all[1]).Standbys) == 0, nil
	})
	receive()
	c.Released(t)
}
