package slot

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// versionOne is a file as the first format had it.
func versionOne(r record) []byte {
	b := r.encode()
	binary.BigEndian.PutUint16(b[offVersion:], fileOldest)
	binary.BigEndian.PutUint32(b[offCRC:], crc32.Checksum(b[:offCRC], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

func TestVersions(t *testing.T) {
	old := record{name: "a", restart: 7, xmin: 8, lost: WALRemoved}
	if got, err := decode(versionOne(old)); err != nil || got != old {
		t.Errorf("version 1: %+v, %v", got, err)
	}
	if _, err := decode(versionOne(record{name: "a", real: Adopted})); err == nil {
		t.Error("version 1 knew no such flag")
	}
	next := old.encode()
	next[offVersion+1] = fileShared + 1
	binary.BigEndian.PutUint32(next[offCRC:], crc32.Checksum(next[:offCRC], crc32.MakeTable(crc32.Castagnoli)))
	if _, err := decode(next); err == nil || err.Error() != "damaged slot file: version 4, this replproxy knows 1 to 3" {
		t.Errorf("a version to come: %v", err)
	}
}

func TestInvalidate(t *testing.T) {
	dir := t.TempDir()
	table := open(t, dir, 0)
	for name, restart := range map[string]lsn.LSN{"a": 100, "b": 200, "c": 300} {
		if err := create(table, name, false, restart, 1); err != nil {
			t.Fatal(err)
		}
	}
	g, err := acquire(table, "a", 7)
	if err != nil {
		t.Fatal(err)
	}
	evicted := 0
	g.OnLost(func() { evicted++ })
	was, done, err := table.Invalidate("a", WALRemoved)
	if err != nil || !done || was.Restart != 100 || was.ActivePID != 7 || evicted != 1 {
		t.Errorf("%+v, %v, %v, evicted %d times", was, done, err, evicted)
	}
	if _, again, _ := table.Invalidate("a", IdleTimeout); again {
		t.Error("lost twice")
	}
	g.Confirm(500)
	g.SetXmin(1, 2)
	if i, _ := table.Read("a"); i.Lost != WALRemoved || i.Restart != lsn.Invalid || i.Xmin != 0 {
		t.Errorf("a lost slot went on: %+v", i)
	}
	g.Release()
	if o := table.Oldest(); o != 200 {
		t.Errorf("a lost slot holds WAL: oldest %s", o)
	}
	if _, done, err := table.Invalidate("b", IdleTimeout); !done || err != nil {
		t.Error(done, err)
	}
	after := open(t, dir, 0)
	if i, _ := after.Read("a"); i.Lost != WALRemoved || i.Restart != lsn.Invalid {
		t.Errorf("after a restart: %+v", i)
	}
	if i, _ := after.Read("b"); i.Lost != IdleTimeout || i.Restart != 200 { // 18 shows it on
		t.Errorf("after a restart: %+v", i)
	}
	if o := after.Oldest(); o != 300 {
		t.Errorf("oldest %s", o)
	}
	refused(t, ErrLost("a", WALRemoved), pgerror.ObjectNotInPrerequisite, `can no longer access replication slot "a"`, "")
}

// TestInvalidateOnAFullDisk: the file can't say it, but the WAL is let go all the same, or the disk
// would stay full for ever.
func TestInvalidateOnAFullDisk(t *testing.T) {
	disk := newMemFS(1)
	table, err := Open("slots", Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	if err := create(table, "a", false, 100, 1); err != nil {
		t.Fatal(err)
	}
	disk.failing = true
	_, done, err := table.Invalidate("a", WALRemoved)
	for range 100 { // errors come by chance
		if err != nil {
			break
		}
		err = table.Persist()
	}
	if o := table.Oldest(); !done || o != lsn.Invalid {
		t.Errorf("%v, %v: oldest %s", done, err, o)
	}
}

func TestAdoptAndSetReal(t *testing.T) {
	dir := t.TempDir()
	table := open(t, dir, 2)
	if err := adopt(table, "s1", Seed{Restart: 100, Xmin: 7, CatalogXmin: 8}, 1); err != nil {
		t.Fatal(err)
	}
	refused(t, adopt(table, "s1", Seed{}, 1), pgerror.DuplicateObject, `replication slot "s1" already exists`, "")
	want := Info{Name: "s1", Restart: 100, Xmin: 7, CatalogXmin: 8, Real: Adopted}
	after := open(t, dir, 0)
	got, _ := after.Read("s1")
	got.Created, got.Inactive = want.Created, want.Inactive
	if got != want {
		t.Errorf("%+v", got)
	}
	if ok, err := after.SetReal("s1", NoReal); !ok || err != nil {
		t.Error(ok, err)
	}
	if ok, err := after.SetReal("s2", Mirrored); ok || err != nil {
		t.Error(ok, err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "s1")); err != nil || b[offFlags+1] != 0 {
		t.Error("the mark is not durable", err)
	}
}
