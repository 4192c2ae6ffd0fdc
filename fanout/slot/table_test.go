package slot

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/fanout/slot/shared"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

func open(t *testing.T, dir string, max int) *Table {
	t.Helper()
	table, err := Open(dir, Options{Max: max})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// refused checks for PostgreSQL's words.
func refused(t *testing.T, err error, code pgerror.Code, message, hint string) {
	t.Helper()
	var e *pgerror.Error
	if !errors.As(err, &e) || e.Code != code || e.Message != message || e.Hint != hint {
		t.Errorf("got %v, expected %s %q %q", err, code, message, hint)
	}
}

// maxName is NAMEDATALEN-1.
const maxName = 63

const nameHint = "Replication slot names may only contain lower case letters, numbers, and the underscore character."

func TestCreateRefusals(t *testing.T) {
	table := open(t, t.TempDir(), 2)
	long := strings.Repeat("x", maxName)
	if err := create(table, long, false, 0, 1); err != nil {
		t.Fatal(err)
	}
	refused(t, create(table, "", false, 0, 1), pgerror.InvalidName, `replication slot name "" is too short`, "")
	refused(t, create(table, long+"x", false, 0, 1), pgerror.NameTooLong, `replication slot name "`+long+`x" is too long`, "")
	for _, name := range []string{"A", "a-b", "a b", "ä", "a\x00", "../a", "a.tmp"} {
		refused(t, create(table, name, false, 0, 1), pgerror.InvalidName,
			`replication slot name "`+name+`" contains invalid character`, nameHint)
	}
	refused(t, create(table, long, true, 0, 1), pgerror.DuplicateObject, `replication slot "`+long+`" already exists`, "")
	if err := create(table, "b", true, 0, 1); err != nil {
		t.Fatal(err)
	}
	refused(t, create(table, "c", true, 0, 1), pgerror.ConfigurationLimit, "all replication slots are in use",
		`Free one or increase "max_replication_slots".`)
	refused(t, create(table, "b", true, 0, 1), pgerror.DuplicateObject, `replication slot "b" already exists`, "")
}

func TestActive(t *testing.T) {
	table := open(t, t.TempDir(), 0)
	if err := create(table, "a", false, 100, 1); err != nil {
		t.Fatal(err)
	}
	_, err := acquire(table, "b", 1)
	refused(t, err, pgerror.UndefinedObject, `replication slot "b" does not exist`, "")
	g, err := acquire(table, "a", 4194305)
	if err != nil {
		t.Fatal(err)
	}
	const active = `replication slot "a" is active for PID 4194305`
	_, err = acquire(table, "a", 2)
	refused(t, err, pgerror.ObjectInUse, active, "")
	refused(t, drop(table, "a", 2), pgerror.ObjectInUse, active, "")
	if i, _ := table.Read("a"); i.ActivePID != 4194305 || i.Restart != 100 {
		t.Errorf("%+v", i)
	}
	g.Confirm(200)
	g.Confirm(0) // no report
	g.SetXmin(7, 8)
	if i, _ := table.Read("a"); i.Restart != 200 || i.Xmin != 7 || i.CatalogXmin != 8 {
		t.Errorf("%+v", i)
	}
	g.Confirm(50) // backward too
	g.Release()
	g.Release()
	g.Confirm(999)
	if i, _ := table.Read("a"); i.ActivePID != 0 || i.Restart != 50 || i.Inactive.IsZero() {
		t.Errorf("%+v", i)
	}
	if err := drop(table, "a", 2); err != nil {
		t.Fatal(err)
	}
	refused(t, drop(table, "a", 2), pgerror.UndefinedObject, `replication slot "a" does not exist`, "")
}

func TestTemporary(t *testing.T) {
	dir := t.TempDir()
	table := open(t, dir, 0)
	if err := create(table, "tmp", true, 100, 7); err != nil {
		t.Fatal(err)
	}
	if i, _ := table.Read("tmp"); i.ActivePID != 7 || !i.Temporary {
		t.Errorf("a temporary slot is active for its session: %+v", i)
	}
	_, err := acquire(table, "tmp", 8)
	refused(t, err, pgerror.ObjectInUse, `replication slot "tmp" is active for PID 7`, "")
	refused(t, drop(table, "tmp", 8), pgerror.ObjectInUse, `replication slot "tmp" is active for PID 7`, "")
	g, err := acquire(table, "tmp", 7)
	if err != nil {
		t.Fatal(err)
	}
	g.Confirm(300)
	g.Release()
	if err := table.Persist(); err != nil {
		t.Fatal(err)
	}
	if names, _ := os.ReadDir(dir); len(names) != 0 {
		t.Errorf("a temporary slot has a file: %v", names)
	}
	if o := table.Oldest(); o != 300 {
		t.Errorf("oldest %s", o)
	}
	table.DropTemporary(8)
	if _, ok := table.Read("tmp"); !ok {
		t.Fatal("dropped by another session's end")
	}
	table.DropTemporary(7)
	if _, ok := table.Read("tmp"); ok || table.Oldest() != lsn.Invalid {
		t.Fatal("outlives its session")
	}
}

// Whoever has asked for it is told when a slot is let go of, and when it is gone.
func TestFreed(t *testing.T) {
	table := open(t, t.TempDir(), 0)
	if table.Freed("a") != nil {
		t.Error("there is no such slot")
	}
	must(t, create(table, "a", false, 100, 1))
	free := table.Freed("a")
	g, err := acquire(table, "a", 1)
	must(t, err)
	select {
	case <-free:
		t.Fatal("it is in use")
	default:
	}
	g.Release()
	<-free
	free = table.Freed("a")
	must(t, drop(table, "a", 1))
	<-free
	must(t, create(table, "tmp", true, 100, 7))
	free = table.Freed("tmp")
	table.DropTemporary(7)
	<-free
}

// countedDir counts the calls of a directory.
type countedDir struct {
	osDir
	calls []string
}

func (d *countedDir) WriteSync(name string, b []byte) error {
	d.calls = append(d.calls, fmt.Sprintf("write %d", len(b)))
	return d.osDir.WriteSync(name, b)
}

func (d *countedDir) Rename(from, to string) error {
	d.calls = append(d.calls, "rename")
	return d.osDir.Rename(from, to)
}

func (d *countedDir) Remove(name string) error {
	d.calls = append(d.calls, "remove")
	return d.osDir.Remove(name)
}

func (d *countedDir) SyncDir() error {
	d.calls = append(d.calls, "sync")
	return d.osDir.SyncDir()
}

// A proxy alone waits for its disk as often as it must: once for the file and once for its name, and for nothing when
// a session begins or ends. Its files are those that v0.1.0 writes.
func TestDiskOfOneAlone(t *testing.T) {
	disk := &countedDir{osDir: osDir(t.TempDir())}
	table, err := Open("", Options{FS: disk})
	must(t, err)
	var g *Guard
	for _, step := range []struct {
		what, calls string
		do          func() error
	}{
		{"create", "write 128, rename, sync", func() error { return create(table, "a", false, 100, 1) }},
		{"attach", "", func() (err error) { g, err = acquire(table, "a", 1); return err }},
		{"save", "", table.Persist},
		{"report and save", "write 128, rename, sync", func() error { g.Confirm(200); return table.Persist() }},
		{"leave and save", "", func() error { g.Release(); return table.Persist() }},
		{"drop", "remove, sync", func() error { return drop(table, "a", 1) }},
		{"save", "", table.Persist},
	} {
		disk.calls = nil
		must(t, step.do())
		if calls := strings.Join(disk.calls, ", "); calls != step.calls {
			t.Errorf("%s: %s, expected %s", step.what, calls, step.calls)
		}
	}
	if left, err := os.ReadDir(string(disk.osDir)); err != nil || len(left) > 0 || len(table.Shared()) > 0 {
		t.Errorf("left behind: %v, %v", left, table.Shared())
	}
}

// A claim is good once, and not when the slot has changed hands.
func TestClaimsAreUsedOnce(t *testing.T) {
	table := open(t, t.TempDir(), 0)
	must(t, create(table, "a", false, 100, 1))
	claim, _, err := table.Propose(shared.Attach, "a", 1)
	must(t, err)
	_, _, err = table.Propose(shared.Attach, "a", 2)
	refused(t, err, pgerror.ObjectInUse, `replication slot "a" is active for PID 1`, "")
	g, err := table.Acquire(claim, 1)
	must(t, err)
	g.Release()
	if _, err = table.Acquire(claim, 1); err == nil {
		t.Error("a claim was used twice")
	}
	retracted, _, err := table.Propose(shared.Drop, "a", 1)
	must(t, err)
	table.Retract(retracted)
	if err := table.Drop(retracted, 1); err == nil {
		t.Error("a claim that was retracted was used")
	}
	must(t, drop(table, "a", 2))
	_, _, err = table.Propose(shared.Drop, "a", 2)
	refused(t, err, pgerror.UndefinedObject, `replication slot "a" does not exist`, "")
}

// TestDropAgainstPersist: a slot that is being dropped is not written again by a Persist between the
// removal of its file and that of its entry.
func TestDropAgainstPersist(t *testing.T) {
	disk := newMemFS(1)
	table, err := Open("slots", Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	if err := create(table, "a", false, 100, 1); err != nil {
		t.Fatal(err)
	}
	g, _ := acquire(table, "a", 1)
	g.Confirm(200)
	g.Release()
	claim, _, err := table.Propose(shared.Drop, "a", 1)
	must(t, err)
	e, err := table.beginDrop(claim, 1)
	must(t, err)
	if err := disk.Remove("a"); err != nil { // what remove does first
		t.Fatal(err)
	}
	if err := table.Persist(); err != nil {
		t.Fatal(err)
	}
	if len(disk.now) != 0 {
		t.Fatal("the slot's file is there again")
	}
	if err := table.remove(e); err != nil {
		t.Fatal(err)
	}
}

func TestSurvivesRestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "slots")
	table := open(t, dir, 0)
	if err := create(table, "a", false, 100, 1); err != nil {
		t.Fatal(err)
	}
	g, _ := acquire(table, "a", 1)
	g.Confirm(300)
	g.SetXmin(1<<32|5, 6)
	if o := table.Oldest(); o != 100 {
		t.Errorf("oldest %s, but a crash would bring back 100", o)
	}
	if i, _ := open(t, dir, 0).Read("a"); i.Restart != 100 {
		t.Errorf("%+v", i)
	}
	if err := table.Persist(); err != nil {
		t.Fatal(err)
	}
	if o := table.Oldest(); o != 300 {
		t.Errorf("oldest %s", o)
	}
	before, _ := table.Read("a")
	after, ok := open(t, dir, 0).Read("a")
	before.ActivePID, before.Inactive = 0, after.Inactive // what does not outlive the process
	if !ok || after != before {
		t.Errorf("%+v\n%+v", before, after)
	}
}

func TestOpenNamesTheDamagedFile(t *testing.T) {
	dir := t.TempDir()
	table := open(t, dir, 0)
	for _, name := range []string{"a", "b"} {
		if err := create(table, name, false, 100, 1); err != nil {
			t.Fatal(err)
		}
	}
	good, err := os.ReadFile(filepath.Join(dir, "b"))
	if err != nil {
		t.Fatal(err)
	}
	other, _ := os.ReadFile(filepath.Join(dir, "a"))
	flip := func(i int) []byte { b := bytes.Clone(good); b[i] ^= 4; return b }
	damages := map[string][]byte{
		"empty": nil, "short": good[:127], "long": append(bytes.Clone(good), 0), "zeros": make([]byte, 128),
		"other slot": other,
	}
	for i := range good {
		damages["byte "+string(rune('0'+i/100))+string(rune('0'+i/10%10))+string(rune('0'+i%10))] = flip(i)
	}
	for what, b := range damages {
		if err := os.WriteFile(filepath.Join(dir, "b"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(dir, Options{})
		if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), filepath.Join(dir, "b")) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestOpenLeavesOthersAlone(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"README.txt", "x.tmp", "lost+found.d"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("?"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(open(t, dir, 0).List()); n != 0 {
		t.Errorf("%d slots", n)
	}
	left, _ := os.ReadDir(dir)
	if len(left) != 2 {
		t.Errorf("left %v: only the unfinished file goes", left)
	}
}

func TestFormatRoundTrip(t *testing.T) {
	r := record{name: strings.Repeat("z", maxName), restart: 1<<63 + 1, xmin: 1<<40 + 2, catalog: 1<<41 + 3, created: -4}
	for _, lost := range []Cause{NotLost, WALRemoved, IdleTimeout} {
		for _, real := range []Real{NoReal, Adopted, Mirrored} {
			r.lost, r.real = lost, real
			if got, err := decode(r.encode()); err != nil || got != r {
				t.Errorf("%+v, %v", got, err)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(record{name: "a", restart: 1, xmin: 2, catalog: 3, created: 4}.encode())
	f.Add(record{name: "standby_1", lost: WALRemoved, real: Mirrored}.encode())
	f.Add(versionOne(record{name: "standby_1", restart: 7}))
	f.Add(record{name: "x", restart: 1, generation: 7, stamp: 3, owner: "proxy_a", real: Adopted}.encode())
	f.Add(record{name: "x", generation: 8, stamp: 1, owner: "proxy_b", dropped: true, created: 9}.encode())
	f.Add(make([]byte, fileSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decode(b)
		if err != nil {
			return
		}
		back := r.encode()
		if version := b[offVersion+1]; version == fileOldest { // only the newest version is written
			back[offVersion+1] = version
			copy(back[offCRC:], b[offCRC:])
		}
		if !bytes.Equal(back, b) {
			t.Fatal("decode and encode differ")
		}
	})
}
