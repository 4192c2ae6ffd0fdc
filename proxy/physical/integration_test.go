package physical_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/proxy/physical"
)

// conninfoFor is the proxy's for a tool that runs as another user: no service or password files.
func (w *world) conninfoFor(name string) string { return w.conninfo("application_name=" + name) }

// load writes rows until stop is called, which returns after the last one.
func load(t *testing.T, primary *pgtest.Server) (stop func()) {
	t.Helper()
	primary.Exec(t, "CREATE TABLE IF NOT EXISTS load (id bigserial, filler text)")
	conn := primary.Connect(t)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			default:
			}
			_, err := pgtest.QueryConn(t.Context(), conn,
				"INSERT INTO load (filler) SELECT repeat('x', 500) FROM generate_series(1, 200)")
			if err != nil {
				t.Errorf("load: %v", err)
				return
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(quit)
		<-done
	})
}

// A base backup with streamed WAL needs two connections, and the primary has few: two at once under
// load, each a valid backup that becomes a standby.
func TestBaseBackupsWithStreamedWAL(t *testing.T) {
	in := pgtest.Need(t, 15)
	primary := in.Primary(t, pgtest.SCRAM("secret"), pgtest.Settings("max_wal_senders = 4"))
	w := newWorld(t, primary, worldOptions{})
	stop := load(t, primary)
	defer stop()
	dirs := make([]string, 2)
	cmds := make([]*exec.Cmd, len(dirs))
	outs := make([]bytes.Buffer, len(dirs))
	for i := range dirs {
		dirs[i] = filepath.Join(in.TempDir(t), "backup")
		cmds[i] = in.Tool(t, filepath.Dir(dirs[i]), "pg_basebackup", "-D", dirs[i], "-X", "stream",
			"--checkpoint=fast", "--no-sync", "-d", w.conninfoFor(fmt.Sprintf("backup%d", i)))
		cmds[i].Stdout, cmds[i].Stderr = &outs[i], &outs[i]
		must(t, cmds[i].Start())
	}
	for i, cmd := range cmds {
		if err := cmd.Wait(); err != nil {
			t.Errorf("pg_basebackup %d: %v\n%s", i, err, outs[i].String())
		}
	}
	stop()
	for _, dir := range dirs {
		in.RunTool(t, filepath.Dir(dir), "pg_verifybackup", dir)
	}
	pgtest.WaitStreaming(t, primary, 1)
	if slots := w.hub.Slots(); len(slots) != 0 {
		t.Errorf("temporary slots are left: %+v", slots)
	}
}

// Files of pg_receivewal are the primary's, byte for byte.
func TestReceiveWAL(t *testing.T) {
	in := pgtest.Need(t, 15)
	primary := in.Primary(t, pgtest.SCRAM("secret"), pgtest.Settings("wal_keep_size = 2GB"))
	w := newWorld(t, primary, worldOptions{})
	dir := in.TempDir(t)
	conninfo := w.conninfoFor("receiver")
	in.RunTool(t, dir, "pg_receivewal", "-D", dir, "-d", conninfo, "--slot=archive", "--create-slot")
	stop := load(t, primary)
	defer stop()
	cmd := in.Tool(t, dir, "pg_receivewal", "-D", dir, "-d", conninfo, "--slot=archive", "--synchronous", "-n", "-v")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	must(t, cmd.Start())
	pgtest.WaitFor(t, readTimeout, "pg_receivewal to attach", func() (bool, error) {
		return len(w.hub.Standbys()) == 1, nil
	})
	primary.Exec(t, "SELECT pg_switch_wal()")
	primary.Exec(t, "INSERT INTO load (filler) VALUES ('after the switch')")
	end := primary.CurrentLSN(t)
	pgtest.WaitFor(t, readTimeout, "pg_receivewal to flush "+end.String(), func() (bool, error) {
		s := w.hub.Standbys()
		return len(s) == 1 && s[0].Flush >= end, nil
	})
	stop()
	must(t, cmd.Process.Signal(os.Interrupt))
	if err := cmd.Wait(); err != nil {
		t.Fatalf("pg_receivewal: %v\n%s", err, out.String())
	}
	files, err := filepath.Glob(filepath.Join(dir, "0000*"))
	must(t, err)
	compared := 0
	for _, f := range files {
		if strings.HasSuffix(f, ".partial") {
			continue
		}
		mine, err := os.ReadFile(f)
		must(t, err)
		theirs, err := os.ReadFile(filepath.Join(primary.Dir, "pg_wal", filepath.Base(f)))
		must(t, err)
		if !bytes.Equal(mine, theirs) {
			t.Errorf("%s differs", filepath.Base(f))
		}
		compared++
	}
	if compared == 0 {
		t.Errorf("no segment was completed: %v\n%s", files, out.String())
	}
	in.RunTool(t, dir, "pg_receivewal", "-d", conninfo, "--slot=archive", "--drop-slot")
}

// A standby with a slot, made by pg_basebackup through the proxy, follows, and comes back after a
// restart of its own.
func TestStandby(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		primary := in.Primary(t, pgtest.SCRAM("secret"))
		w := newWorld(t, primary, worldOptions{})
		connect(t, w.conninfo()).query("CREATE_REPLICATION_SLOT standby_slot PHYSICAL")
		so := pgtest.StandbyOptions{From: primary, PrimaryConninfo: w.conninfo(), SlotName: "standby_slot"}
		if in.HasBaseBackup() {
			so.BaseBackup = w.conninfo()
		}
		standby := in.Standby(t, so, pgtest.Name("standby_a"))
		stop := load(t, primary)
		defer stop()
		pgtest.WaitFor(t, readTimeout, "the standby to attach", func() (bool, error) {
			s := w.hub.Standbys()
			return len(s) == 1 && s[0].ApplicationName == "standby_a" && s[0].Slot == "standby_slot", nil
		})
		standby.Restart(t)
		stop()
		pgtest.WaitCaughtUp(t, primary, standby)
		pgtest.EqualData(t, primary, standby)
		pgtest.WaitStreaming(t, primary, 1)
	}, 14, 15, 18)
}

// Idle log-ins give way: with one place, sessions that do nothing do not keep others out.
func TestIdleLinksGiveWay(t *testing.T) {
	primary := pgtest.Need(t, 15).Primary(t, pgtest.SCRAM("secret"))
	w := newWorld(t, primary, worldOptions{maxLogins: 1})
	began := time.Now()
	var sessions []*script
	for range 4 {
		sessions = append(sessions, connect(t, w.conninfo()))
	}
	if d := time.Since(began); d > 2*physical.DefaultIdleKeep {
		t.Errorf("four log-ins took %v: they waited for each other's idle links to be closed", d)
	}
	for _, s := range sessions {
		if got := s.query("IDENTIFY_SYSTEM"); !strings.HasSuffix(got, "Z I") {
			t.Error(got)
		}
	}
}
