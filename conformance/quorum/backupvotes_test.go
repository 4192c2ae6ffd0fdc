package quorum

import (
	"path/filepath"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// TestBaseBackupDoesNotVote: the only voter is being made anew by pg_basebackup, under its name and with its slot. Its
// WAL has the commit, and the commit waits until the standby runs.
func TestBaseBackupDoesNotVote(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	s := &scene.QuorumSite{Site: scene.NewSiteWith(t, in, pgtest.ProxyOptions{Config: scene.RuleFile("ANY 1 (db1)")})}
	s.Primary.Exec(t, "CREATE TABLE q (n int)")
	s.CreateSlot(t, "db1")
	s.WaitSync(t)
	dir := in.TempDir(t)
	tool := scene.StartTool(t, in, dir, "pg_basebackup", "-D", filepath.Join(dir, "db1"), "-c", "fast", "-r", "2M",
		"-s", "1", "-S", "db1",
		"-d", s.Proxy.Conninfo("application_name=db1"))
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the backup to stream WAL", func() (bool, error) {
		return len(scene.Status(t, s.Proxy).Standbys) == 1, nil
	})
	c := s.Begin(t, "on")
	s.Primary.Exec(t, "SELECT pg_switch_wal()") // pg_basebackup flushes whole segments
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the backup to have the commit", func() (bool, error) {
		all := scene.Status(t, s.Proxy).Standbys
		return len(all) == 0 || all[0].Flush >= c.At, nil
	})
	if !s.Waits(t, c) {
		t.Error("a commit was acknowledged on a base backup that is being made")
	}
	tool.Finish(t)
	if !s.Waits(t, c) {
		t.Error("a commit was acknowledged on a base backup")
	}
	s.Standby(t, "db1", "")
	c.Released(t)
}
