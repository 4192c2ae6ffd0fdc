package slot

import (
	"syscall"
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// fullDir is a directory on a volume on which there is no room for one more file.
type fullDir struct{ osDir }

func (fullDir) WriteSync(string, []byte) error { return syscall.ENOSPC }

// On a full volume what is there already can be changed: a slot that holds WAL can be dropped and advanced, which is
// what makes room. Nothing is made there.
func TestFullVolume(t *testing.T) {
	for _, node := range []string{"", "a"} {
		t.Run("node "+node, func(t *testing.T) {
			dir := t.TempDir()
			at := func(full bool) *Table {
				o := Options{FS: osDir(dir), Node: node}
				if full {
					o.FS = fullDir{osDir(dir)}
				}
				table, err := Open(dir, o)
				if err != nil {
					t.Fatal(err)
				}
				return table
			}
			table := at(false)
			for _, name := range []string{"dropped", "moved"} {
				if err := create(table, name, false, 100, 1); err != nil {
					t.Fatal(err)
				}
			}
			if err := table.Persist(); err != nil {
				t.Fatal(err)
			}
			table = at(true)
			if err := drop(table, "dropped", 1); err != nil {
				t.Error(err)
			}
			g, err := acquire(table, "moved", 1)
			if err != nil {
				t.Fatal(err)
			}
			g.Confirm(200)
			g.Release()
			if err := table.Persist(); err != nil || table.Oldest() != 200 {
				t.Errorf("%v, WAL is held from %s", err, table.Oldest())
			}
			if err := create(table, "made", false, 100, 1); err == nil {
				t.Error("a slot was made without room")
			}
			table = at(false)
			all := table.List()
			if len(all) != 1 || all[0].Name != "moved" || all[0].Restart != lsn.LSN(200) {
				t.Errorf("after a restart: %+v", all)
			}
			if s := table.Known("dropped"); node != "" && (s.Generation != 2 || s.Exists()) {
				t.Errorf("the drop is remembered as %+v", s)
			}
		})
	}
}
