package pgtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// StandbyOptions describe a standby: its origin and its upstream.
type StandbyOptions struct {
	From            *Server // is cloned; it must run
	PrimaryConninfo string  // whom it follows; "": From
	SlotName        string  // primary_slot_name; "": none

	// BaseBackup, a conninfo, clones by pg_basebackup through it (majors 14 and 15 only) instead of by
	// pg_backup_start and a copy of From's files.
	BaseBackup string
	// NoWAL leaves the WAL of the backup out: the standby must get it from its upstream.
	NoWAL bool
}

// Standby clones a server, makes the clone a standby and starts it. Settings of From do not carry
// over, except by ALTER SYSTEM and the content of its postgresql.conf.
func (in *Install) Standby(t testing.TB, so StandbyOptions, opts ...Option) *Server {
	t.Helper()
	o := collect("standby", opts)
	s := in.newServer(t, o)
	s.Password = so.From.Password
	if so.BaseBackup != "" {
		s.cloneByBaseBackup(t, so)
	} else if err := s.cloneByCopy(t, so); err != nil {
		t.Fatalf("clone %s: %v", so.From.Name, err)
	}
	s.MakeStandby(t, so)
	s.startAs(t, o)
	return s
}

// MakeStandby turns the data directory of a stopped server into one of a standby. From may be nil.
func (s *Server) MakeStandby(t testing.TB, so StandbyOptions) {
	t.Helper()
	conninfo := so.PrimaryConninfo
	if conninfo == "" {
		conninfo = so.From.Conninfo()
	}
	s.settings = append(s.settings,
		"primary_conninfo = "+quote(conninfo),
		"primary_slot_name = "+quote(so.SlotName),
		"recovery_target_timeline = 'latest'")
	s.configure(t, nil)
	if err := writeFile(filepath.Join(s.Dir, "standby.signal"), nil, s.Install.who); err != nil {
		t.Fatalf("make %s a standby: %v", s.Name, err)
	}
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func (s *Server) cloneByBaseBackup(t testing.TB, so StandbyOptions) {
	t.Helper()
	if !s.Install.HasBaseBackup() {
		t.Fatalf("there is no pg_basebackup for PostgreSQL %d", s.Install.Major)
	}
	wal := "stream"
	if so.NoWAL {
		wal = "none"
	}
	s.Install.RunTool(t, s.SocketDir, "pg_basebackup", "-D", s.Dir, "-d", so.BaseBackup, "-X", wal,
		"--checkpoint=fast", "--no-sync")
}

// cloneByCopy makes a standby as pg_basebackup -X fetch does, with the files copied from folder to folder.
func (s *Server) cloneByCopy(t testing.TB, so StandbyOptions) error {
	t.Helper()
	conn := so.From.Connect(t)
	defer conn.Close(t.Context())
	start, stop := "pg_backup_start('pgtest', true)", "pg_backup_stop(false)"
	if so.From.Install.Major < 15 {
		start, stop = "pg_start_backup('pgtest', true, false)", "pg_stop_backup(false, false)"
	}
	if _, err := QueryConn(t.Context(), conn, "SELECT "+start); err != nil {
		return fmt.Errorf("start backup: %w", err)
	}
	who := s.Install.who
	if err := copyTree(so.From.Dir, s.Dir, who, notInBackup); err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	rows, err := QueryConn(t.Context(), conn, "SELECT labelfile, spcmapfile FROM "+stop)
	if err != nil {
		return fmt.Errorf("stop backup: %w", err)
	}
	if rows[0][1] != "" {
		return errors.New("tablespaces are not supported here")
	}
	if err := writeFile(filepath.Join(s.Dir, "backup_label"), []byte(rows[0][0]), who); err != nil {
		return err
	}
	if so.NoWAL {
		return nil
	}
	return s.copyWAL(t, conn, so.From, rows[0][0])
}

// copyWAL copies the segments from the start of the backup on; the last one may hold anything after
// the end of the backup, as a recycled segment does.
func (s *Server) copyWAL(t testing.TB, conn *pgconn.PgConn, from *Server, label string) error {
	_, rest, ok := strings.Cut(label, "(file ")
	first, _, ok2 := strings.Cut(rest, ")")
	if !ok || !ok2 {
		return fmt.Errorf("no segment named in the backup label %q", label)
	}
	rows, err := QueryConn(t.Context(), conn, "SELECT pg_walfile_name(pg_current_wal_flush_lsn())")
	if err != nil {
		return fmt.Errorf("find last segment: %w", err)
	}
	last := rows[0][0]
	entries, err := os.ReadDir(filepath.Join(from.Dir, "pg_wal"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		history := strings.HasSuffix(name, ".history")
		if !history && (len(name) != len(first) || name < first || name > last) {
			continue
		}
		path := filepath.Join("pg_wal", name)
		if err := copyFile(filepath.Join(from.Dir, path), filepath.Join(s.Dir, path), s.Install.who); err != nil {
			return err
		}
	}
	return nil
}

// notInBackup reports whether pg_basebackup leaves a file out: a running server owns it for itself. Skipped folders are
// made empty, those in pg_wal included.
func notInBackup(rel string) bool {
	switch rel {
	case "postmaster.pid", "postmaster.opts", "standby.signal", "backup_label",
		"pg_replslot", "pg_dynshmem", "pg_notify", "pg_serial", "pg_snapshots", "pg_stat_tmp", "pg_subtrans":
		return true
	}
	base := filepath.Base(rel)
	return filepath.Dir(rel) == "pg_wal" || base == "pg_internal.init" || strings.HasPrefix(base, "pgsql_tmp")
}
