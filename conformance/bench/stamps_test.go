package bench

import (
	"debug/elf"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/stamp"
)

// TestStampsOfACommit: with the tag the stamps of each commit are complete and in order.
func TestStampsOfACommit(t *testing.T) {
	g := newGateway(t)
	g.run("stamps")
	insert := func() { g.primary.Exec(t, commitScript) }
	if n := len(g.stamps()); n != 0 {
		t.Errorf("%d stamps before anybody asked for them", n)
	}
	insert() // a read that had begun before notes nothing
	from := g.primary.CurrentLSN(t)
	const commits = 20
	for range commits {
		insert()
	}
	// What the last commit did not wait for: the slower standbys.
	var ends []lsn.LSN
	var all []passage
	var records []stamp.Record
	pgtest.WaitFor(t, time.Minute, "every step of the last commit", func() (bool, error) {
		records = append(records, g.stamps()...)
		ends = g.commits(from, g.primary.CurrentLSN(t))
		all = passages(records, ends)
		return len(all) > 0 && all[len(all)-1].complete(sinks), nil
	})
	if len(all) < commits {
		t.Errorf("%d commits were found, %d were made", len(all), commits)
	}
	for i := range all {
		p := &all[i]
		if !p.complete(sinks) {
			t.Errorf("commit at %s lacks steps: %v, sent %v", p.at, p.times, p.sent)
		} else if before, after, same := p.disorder(); !same {
			t.Errorf("commit at %s: %s at %d, %s at %d", p.at, before, p.times[before], after, p.times[after])
		}
	}
}

// TestStampsVanish: no function of package stamp is left in a program without the tag, not even an empty one. Methods
// may stay, though nobody calls them: the man pages are made with a library that finds methods by their names.
func TestStampsVanish(t *testing.T) {
	if n := symbols(t, pgtest.Tagged(t, "stamps")); n < 3 {
		t.Errorf("%d functions with the tag: the search for them is broken", n)
	}
	if n := symbols(t, pgtest.Binary(t)); n != 0 {
		t.Errorf("%d functions without the tag", n)
	}
}

// symbols counts the functions of package stamp in a program, without methods.
func symbols(t *testing.T, path string) (n int) {
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		_, name, ours := strings.Cut(s.Name, "internal/stamp.")
		if ours && !strings.ContainsAny(name, ".(") && elf.ST_TYPE(s.Info) == elf.STT_FUNC {
			n++
		}
	}
	return n
}
