package relay

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// backupStream is a server's answer to BASE_BACKUP, told so that two of an idle server are equal.
type backupStream struct {
	shape    []string            // kinds of messages in order, repeated ones once; of results columns and tags
	files    map[string][32]byte // content of each file, by archive and name
	manifest []byte
}

// BASE_BACKUP of 16 to 18, and incremental ones of 17 and 18 after UPLOAD_MANIFEST: the bytes through the proxy are
// those from the primary. The client is our own, as Debian's pg_basebackup does not take these servers.
func TestBaseBackupStream(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		settings := []string{"autovacuum = off"}
		if in.Major >= 17 {
			settings = append(settings, "summarize_wal = on")
		}
		s := scene.NewSite(t, in, pgtest.Settings(settings...))
		s.Primary.Exec(t, "CREATE TABLE t AS SELECT g i, repeat('x', 100) pad FROM generate_series(1, 20000) g; "+
			"CREATE TABLE other AS SELECT 1 i; CHECKPOINT")
		directly, through := s.Primary.Conninfo("replication=true"), s.Proxy.Conninfo("replication=true")
		full := "BASE_BACKUP (LABEL 'a b', PROGRESS true, CHECKPOINT 'fast', WAIT true, MANIFEST 'yes', TABLESPACE_MAP true)"
		want, got := takeBackup(t, directly, nil, full), takeBackup(t, through, nil, full)
		sameBackup(t, want, got)
		if in.Major < 17 {
			return
		}
		s.Primary.Exec(t, "UPDATE t SET pad = 'changed' WHERE i = 77; CHECKPOINT")
		incremental := strings.Replace(full, "(", "(INCREMENTAL, ", 1)
		sameBackup(t, takeBackup(t, directly, want.manifest, incremental), takeBackup(t, through, want.manifest, incremental))
		increments := takeBackup(t, through, got.manifest, incremental) // of the backup that came through the proxy
		if !slices.ContainsFunc(increments.names(), func(n string) bool { return strings.Contains(n, "/INCREMENTAL.") }) {
			t.Errorf("no file is incremental: %v", increments.names())
		}
	}, 16, 17, 18)
}

func (b *backupStream) names() (all []string) {
	for n := range b.files {
		all = append(all, n)
	}
	slices.Sort(all)
	return all
}

// ofItsTime are files that differ between two backups of one idle server.
func ofItsTime(name string) bool {
	return strings.HasSuffix(name, "/backup_label") || strings.HasSuffix(name, "/global/pg_control") ||
		strings.Contains(name, "/pg_logical/") || strings.Contains(name, "/pg_stat") || strings.Contains(name, "/pg_wal/")
}

func sameBackup(t *testing.T, want, got *backupStream) {
	t.Helper()
	if !slices.Equal(want.shape, got.shape) {
		t.Errorf("messages through the proxy:\n%q\nfrom the primary:\n%q", got.shape, want.shape)
	}
	if !slices.Equal(want.names(), got.names()) {
		t.Errorf("files through the proxy:\n%v\nfrom the primary:\n%v", got.names(), want.names())
	}
	if len(want.files) < 100 {
		t.Errorf("only %d files", len(want.files))
	}
	for name, sum := range want.files {
		if got.files[name] != sum && !ofItsTime(name) {
			t.Errorf("%s differs", name)
		}
	}
}

// takeBackup uploads a manifest, if there is one, and takes a backup in the same session.
func takeBackup(t *testing.T, conninfo string, manifest []byte, command string) *backupStream {
	t.Helper()
	conn, err := pgtest.Dial(t.Context(), conninfo)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if manifest != nil {
		upload(t, conn, manifest)
	}
	conn.Frontend().SendQuery(&pgproto3.Query{String: command})
	flush(t, conn)
	b := &backupStream{files: map[string][32]byte{}}
	archives := map[string]*bytes.Buffer{}
	inArchive := "" // whose data comes
	for {
		m := receive(t, conn)
		switch m := m.(type) {
		case *pgproto3.RowDescription:
			var names []string
			for _, f := range m.Fields {
				names = append(names, fmt.Sprintf("%s:%d", f.Name, f.DataTypeOID))
			}
			b.saw("T " + strings.Join(names, " "))
		case *pgproto3.CommandComplete:
			b.saw("C " + string(m.CommandTag))
		case *pgproto3.CopyData:
			switch m.Data[0] {
			case 'n':
				inArchive, _, _ = strings.Cut(string(m.Data[1:]), "\x00")
				archives[inArchive] = &bytes.Buffer{}
				b.saw("n " + inArchive)
			case 'm':
				inArchive = ""
				b.saw("m")
			case 'd':
				if inArchive == "" {
					b.manifest = append(b.manifest, m.Data[1:]...)
				} else {
					archives[inArchive].Write(m.Data[1:])
				}
			case 'p':
				if len(m.Data) != 9 || binary.BigEndian.Uint64(m.Data[1:]) == 0 {
					t.Errorf("progress: %q", m.Data)
				}
			default:
				t.Fatalf("CopyData of type %q", m.Data[0])
			}
			b.saw("d")
		case *pgproto3.ReadyForQuery:
			b.saw("Z")
			for name, a := range archives {
				b.unpack(t, name, a)
			}
			return b
		default:
			b.saw(fmt.Sprintf("%T", m))
		}
	}
}

func (b *backupStream) saw(kind string) {
	if n := len(b.shape); n == 0 || b.shape[n-1] != kind {
		b.shape = append(b.shape, kind)
	}
}

func (b *backupStream) unpack(t *testing.T, archive string, from io.Reader) {
	t.Helper()
	for r := tar.NewReader(from); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		var content []byte
		if err == nil {
			content, err = io.ReadAll(r)
		}
		if err != nil {
			t.Fatalf("%s: %v", archive, err)
		}
		meta := fmt.Sprintf("%d %o %d ", h.Typeflag, h.Mode, h.Uid)
		b.files[archive+"/"+h.Name] = sha256.Sum256(append([]byte(meta), content...))
	}
}

func upload(t *testing.T, conn *pgconn.PgConn, manifest []byte) {
	t.Helper()
	conn.Frontend().SendQuery(&pgproto3.Query{String: "UPLOAD_MANIFEST"})
	flush(t, conn)
	if m := receive(t, conn); fmt.Sprintf("%T", m) != "*pgproto3.CopyInResponse" {
		t.Fatalf("UPLOAD_MANIFEST: %+v", m)
	}
	for piece := range slices.Chunk(manifest, 8000) {
		conn.Frontend().Send(&pgproto3.CopyData{Data: piece})
	}
	conn.Frontend().Send(&pgproto3.CopyDone{})
	flush(t, conn)
	for {
		if _, ready := receive(t, conn).(*pgproto3.ReadyForQuery); ready {
			return
		}
	}
}

func flush(t *testing.T, conn *pgconn.PgConn) {
	t.Helper()
	if err := conn.Frontend().Flush(); err != nil {
		t.Fatal(err)
	}
}

// receive is the next message; an error ends the test.
func receive(t *testing.T, conn *pgconn.PgConn) pgproto3.BackendMessage {
	t.Helper()
	m, err := conn.ReceiveMessage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if e, ok := m.(*pgproto3.ErrorResponse); ok {
		t.Fatalf("%s %s", e.Code, e.Message)
	}
	return m
}
