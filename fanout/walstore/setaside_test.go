package walstore

import (
	"errors"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// stored returns a disk with WAL of the generator up to its end, acknowledged and left as by a kill.
func stored(t *testing.T, g *walstoretest.Generator) *vfs.Mem {
	t.Helper()
	disk := vfs.NewMem()
	s := openMem(t, disk)
	for range 60 {
		g.Record(3000)
	}
	begin(t, s, g)
	store(t, s, g, g.Start())
	if err := s.SetPromised(s.Positions().Complete); err != nil {
		t.Fatal(err)
	}
	return disk.Kill()
}

// TestAsideIsAskedWhereItEnds: who gives WAL up decides by where the store ends. What it refuses to set aside is served.
func TestAsideIsAskedWhereItEnds(t *testing.T) {
	g := newGen()
	disk := stored(t, g)
	var asked []lsn.Point
	set := Aside{}
	open := func() *Store {
		return openMem(t, disk, func(o *Options) {
			o.SetAside = func(end lsn.Point) (Aside, error) { asked = append(asked, end); return set, nil }
		})
	}
	s := open()
	if p := s.Positions(); p.Flushed != g.End() || len(asked) != 1 || asked[0] != (lsn.Point{Timeline: 1, LSN: g.End()}) {
		t.Errorf("asked %v, and the store ends at %s", asked, p.Flushed)
	}
	disk = disk.Kill()
	set = Aside{Name: "1-0-0-lost", From: lsn.Point{Timeline: 1}, Has: g.Start() + 1000}
	if p := open().Positions(); p.Timeline != 0 {
		t.Errorf("it is set aside, and the store has %+v", p)
	}
	if disk = disk.Kill(); open().Positions().Timeline != 0 || len(asked) != 3 || asked[2] != (lsn.Point{}) {
		t.Errorf("asked %v", asked)
	}
	if _, err := Open(t.Context(), Options{Dir: "/data", FS: stored(t, newGen()), SetAside: func(lsn.Point) (Aside, error) {
		return set, errors.New("the word cannot be written")
	}}); err == nil {
		t.Error("it is not known what is to be set aside, and the store is open")
	}
}

// TestAsidePromise: what the server has stays promised that comes instead, wherever the WAL that is given up begins. Of
// it no name holds. A promise about a later timeline is not about that WAL.
func TestAsidePromise(t *testing.T) {
	name := func(at lsn.LSN) lsn.Print { return lsn.Print{Timeline: 1, LSN: at, Sum: 1} }
	for what, c := range map[string]struct{ has, want Promise }{
		"beyond what it has":    {Promise{At: 90, Owes: 80, Timeline: 1, Print: name(85)}, Promise{At: 60, Owes: 60, Timeline: 1}},
		"all that was stored":   {Promise{At: PromisedAll, Timeline: 1, Print: name(85)}, Promise{At: 60, Timeline: 1}},
		"below what it has":     {Promise{At: 50, Timeline: 1, Print: name(50)}, Promise{At: 50, Timeline: 1}},
		"below where it begins": {Promise{At: 50, Timeline: 1, Print: name(30)}, Promise{At: 50, Timeline: 1, Print: name(30)}},
		"of a later timeline":   {Promise{At: 90, Timeline: 2}, Promise{At: 90, Timeline: 2}},
	} {
		a := Aside{Name: "1-0-28-lost", From: lsn.Point{Timeline: 1, LSN: 40}, Has: 60}
		if got := a.limit(c.has); got != c.want {
			t.Errorf("%s: %+v, want %+v", what, got, c.want)
		}
		if got := (Aside{}).limit(c.has); got != c.has {
			t.Errorf("%s: nothing is set aside, and it is %+v", what, got)
		}
	}
}

// TestAsideIsNeverReplaced: WAL is given up twice, and nobody knows from where on. So the folder has one name twice. What
// was set aside first is still there.
func TestAsideIsNeverReplaced(t *testing.T) {
	first := newGen()
	disk := stored(t, first)
	set := func(o *Options) {
		o.SetAside = func(lsn.Point) (Aside, error) { return Aside{Name: "1-0-0-lost", From: lsn.Point{Timeline: 1}}, nil }
	}
	second := newGen()
	for range 60 {
		second.Record(3100)
	}
	s := openMem(t, disk, set)
	begin(t, s, second)
	store(t, s, second, second.Start())
	disk = disk.Kill()
	openMem(t, disk, set)
	for dir, g := range map[string]*walstoretest.Generator{"1-0-0-lost": first, "1-0-0-lost-2": second} {
		b := make([]byte, 100_000)
		f, err := disk.Open("/data/diverged/" + dir + "/" + testSeg.FileName(1, testSeg.Segno(g.Start())))
		if err == nil {
			_, err = f.ReadAt(b, 0)
		}
		if err != nil || string(b) != string(g.Bytes(g.Start(), g.Start()+100_000)) {
			t.Errorf("what was set aside in %s is gone: %v", dir, err)
		}
	}
}
