package relay

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// Every way of pg_basebackup, through the proxy and under load, verified by its manifest.
func TestBaseBackup(t *testing.T) {
	ways := []struct {
		name string
		args []string
		tar  bool
		slot string
	}{
		{name: "plain, WAL streamed", args: []string{"-X", "stream"}},
		{name: "plain, WAL fetched", args: []string{"-X", "fetch"}},
		{name: "tar, WAL streamed", args: []string{"-X", "stream", "-F", "tar"}, tar: true},
		{name: "tar, WAL fetched", args: []string{"-X", "fetch", "-F", "tar"}, tar: true},
		{name: "slot created", args: []string{"-X", "stream", "-C", "--slot=backup"}, slot: "backup"},
	}
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		s := scene.NewSite(t, in)
		load := scene.StartLoad(t, s.Primary)
		load.WaitCommits(t, 100)
		for _, way := range ways {
			t.Run(way.name, func(t *testing.T) {
				dir := in.TempDir(t)
				backup := filepath.Join(dir, "backup")
				args := append([]string{"-D", backup, "-d", s.Proxy.Conninfo(), "--checkpoint=fast", "--no-sync"}, way.args...)
				in.RunTool(t, dir, "pg_basebackup", args...)
				if way.tar {
					backup = untar(t, in, backup)
				}
				verify := []string{backup}
				if !in.HasTools() { // whose pg_waldump would read this WAL
					verify = append(verify, "--no-parse-wal")
				}
				in.RunTool(t, dir, "pg_verifybackup", verify...)
				if way.slot != "" {
					checkSlotOfProxyOnly(t, s, way.slot)
				}
			})
		}
		load.StopLoad(t)
		s.Verify(t)
	}, 14, 15)
}

// untar unpacks the files of -F tar, as its manual says, and returns the data directory.
func untar(t *testing.T, in *pgtest.Install, from string) string {
	t.Helper()
	to := from + "-unpacked"
	unpack := func(archive, into string) {
		in.RunTool(t, filepath.Dir(from), "/usr/bin/tar", "-xf", archive, "--one-top-level="+into)
	}
	unpack(filepath.Join(from, "base.tar"), to)
	if wal := filepath.Join(from, "pg_wal.tar"); exists(wal) {
		unpack(wal, filepath.Join(to, "pg_wal"))
	}
	if err := os.Rename(filepath.Join(from, "backup_manifest"), filepath.Join(to, "backup_manifest")); err != nil {
		t.Fatal(err)
	}
	return to
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func checkSlotOfProxyOnly(t *testing.T, s *scene.Site, slot string) {
	t.Helper()
	if got := s.Primary.SQL(t, "SELECT 1 FROM pg_replication_slots WHERE slot_name = '"+slot+"'"); len(got) != 0 {
		t.Errorf("slot %s exists on the primary", slot)
	}
	for _, row := range scene.Status(t, s.Proxy).Slots {
		if row.Name == slot && row.Restart != 0 && !row.Temporary {
			return
		}
	}
	t.Errorf("slot %s is not in the proxy, or holds nothing: %+v", slot, scene.Status(t, s.Proxy).Slots)
}

// A standby made the way that PostgreSQL's manual shows: pg_basebackup -R with a slot, all of it through
// the proxy, in one sweep.
func TestStandbyFromBaseBackup(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		s := scene.NewSite(t, in, pgtest.SCRAM("secret"))
		load := scene.StartLoad(t, s.Primary)
		load.WaitCommits(t, 100)
		standby := in.Standby(t, pgtest.StandbyOptions{
			From: s.Primary, BaseBackup: s.Proxy.Conninfo(), PrimaryConninfo: s.Proxy.Conninfo(),
		}, pgtest.Name("from_backup"))
		load.WaitCommits(t, 100)
		load.StopLoad(t)
		s.Verify(t, standby)
		if n := strings.Count(s.Primary.Log(), "received replication command: BASE_BACKUP"); n != 1 {
			t.Errorf("the primary logged %d base backups, want one", n)
		}
	}, 14, 15)
}
