package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/fanout/acceptance"
	"github.com/replproxy/replproxy/internal/durable"
	"github.com/replproxy/replproxy/proxy/admin"
)

// swapped replaces each file, as soon as it has its name, by another name of victim.
type swapped struct {
	readable
	victim string
}

func (s swapped) Rename(from, to string) error {
	return errors.Join(s.readable.Rename(from, to), os.Remove(to), os.Link(s.victim, to))
}

// TestWordNamesItsSystem: a word that is forced holds for the system of the store that it was said to, and is shown.
func TestWordNamesItsSystem(t *testing.T) {
	a := newAcceptance(t)
	a.put(t, "3 force in 7\n")
	if s := a.unused(); s == nil || s.System != "7" || s.Timeline != 3 || !s.Forced {
		t.Errorf("status has %+v", s)
	}
	other := *forked
	other.System = 8
	if !a.Accepted(forked) || a.Accepted(&other) {
		t.Error("the word is about another system, or not about this one")
	}
}

// TestAcceptedKeepsOthersClosed: a file that the proxy's user puts in place of a word stays as closed as it was.
func TestAcceptedKeepsOthersClosed(t *testing.T) {
	dir := t.TempDir()
	victim, path := filepath.Join(dir, "victim"), filepath.Join(dir, acceptName)
	if err := os.WriteFile(victim, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := durable.WriteFile(swapped{victim: victim}, path, []byte("2\n"))
	info, err2 := os.Stat(victim)
	if err != nil || err2 != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v; mode of another file: %v", err, err2, info.Mode())
	}
}

// TestAcceptedOnEachProxy: whoever accepts a loss is told which other proxies are to be told, those apart that are gone.
func TestAcceptedOnEachProxy(t *testing.T) {
	for name, c := range map[string]struct {
		running admin.Status
		want    string
	}{
		"it does not run": {admin.Status{}, ""},
		"it is alone":     {admin.Status{Cluster: &admin.Cluster{}}, ""},
		"there are others": {admin.Status{Cluster: &admin.Cluster{Peers: []admin.Peer{{Name: "b"}, {Name: "c"}, {Name: "d"}}},
			Quorum: admin.Quorum{Forgotten: []string{"c"}}}, "; say it at each other proxy too: b, d"},
	} {
		w := Word{newAcceptance(t)}
		if err := w.a.write(lackingName, acceptance.For(lost)); err != nil {
			t.Fatal(err)
		}
		did, err := w.Say(2, false, &c.running, nil)
		if err != nil || !strings.HasSuffix(did, "it then sets its WAL aside"+c.want) {
			t.Errorf("%s: %q, %v", name, did, err)
		}
	}
}
