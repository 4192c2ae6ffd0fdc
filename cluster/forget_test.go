package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/cluster/vote"
)

func wantAwaited(t *testing.T, n *Node, awaited, forgotten []string) {
	t.Helper()
	if s := n.Status(); !slices.Equal(s.Awaited, awaited) || !slices.Equal(s.Forgotten, forgotten) {
		t.Errorf("waits for %v, has forgotten %v; want %v and %v", s.Awaited, s.Forgotten, awaited, forgotten)
	}
}

// A node that starts alone gives nothing until an operator has said of each member that it is gone. That
// is remembered; one that is heard again counts again, and that is remembered too.
func TestForget(t *testing.T) {
	const rule = "ANY 1 (s1, s2)"
	dir := filepath.Join(t.TempDir(), "cluster")
	start := func() *Node {
		n := openMember(t, dir, rule, "b", "c")
		report(n, n.Attach("s1"), 1, 80)
		return n
	}
	n := start()
	wantLimits(t, n, 0, 0, 0)
	wantAwaited(t, n, []string{"b", "c"}, nil)
	for _, member := range []string{"a", "d", ""} {
		if err := n.Forget(member); !errors.Is(err, ledger.ErrRefused) {
			t.Errorf("forget %q: %v", member, err)
		}
	}
	if err := n.Forget("b"); err != nil {
		t.Fatal(err)
	}
	wantLimits(t, n, 0, 0, 0)
	if err := n.Forget("c"); err != nil {
		t.Fatal(err)
	}
	wantLimits(t, n, 80, 80, 80)
	wantAwaited(t, n, nil, []string{"b", "c"})
	n = start()
	wantLimits(t, n, 80, 80, 80)
	for _, m := range n.ledger.Members(time.Now())[1:] {
		if m.Heard {
			t.Errorf("tail would believe that it knows the rule of %s", m.Node)
		}
	}

	hears(t, n, "b", stateOf("b", "ANY 2 (s1, s2)", 1))
	wantLimits(t, n, 0, 0, 0) // its rule holds
	wantAwaited(t, n, nil, []string{"c"})
	if err := n.Forget("b"); !errors.Is(err, ledger.ErrRefused) {
		t.Errorf("forget who lives: %v", err)
	}
	<-n.toSave
	n.saveKnown()
	n = start()
	wantLimits(t, n, 0, 0, 0)
	wantAwaited(t, n, []string{"b"}, []string{"c"})

	if err := os.WriteFile(filepath.Join(dir, forgottenFile), []byte("b\nc\nxxxx"), 0o600); err != nil {
		t.Fatal(err)
	}
	n = start()
	wantLimits(t, n, 0, 0, 0)
	wantAwaited(t, n, []string{"b", "c"}, nil)
}

// The word is about the member that the operator knew: one of another key is another one, also after a restart. It can be
// taken back, for good. What release v0.1.0 wrote has no keys and holds.
func TestForgetNamesAMember(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cluster")
	keys := map[string]string{"b": "k1", "c": "k2"}
	start := func() *Node {
		n, err := New(Options{
			Name: "a", Rule: vote.RuleText{Names: "ANY 1 (s1)"}, Store: newFakeStore(100), Members: []string{"b", "c"}, Dir: dir,
			Outbox: link.NewOutbox(), Timeout: time.Minute, Key: func(name string) string { return keys[name] },
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	n := start()
	if err := errors.Join(n.Forget("b"), n.Forget("c")); err != nil {
		t.Fatal(err)
	}
	wantAwaited(t, start(), nil, []string{"b", "c"})
	keys["b"] = "k3"
	n = start()
	wantAwaited(t, n, []string{"b"}, []string{"c"})
	if err := n.Recall("b"); !errors.Is(err, ledger.ErrRefused) {
		t.Errorf("it was not forgotten: %v", err)
	}
	if err := n.Recall("c"); err != nil {
		t.Fatal(err)
	}
	wantAwaited(t, n, []string{"b", "c"}, nil)
	wantAwaited(t, start(), []string{"b", "c"}, nil)
	if err := os.WriteFile(filepath.Join(dir, forgottenFile), seal([]byte("b\nc\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	wantAwaited(t, start(), nil, []string{"b", "c"})
}

// That a member is forgotten is durable first, like everything that lets more be reported.
func TestForgetNeedsTheDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cluster")
	n := openMember(t, dir, "ANY 1 (s1)", "b")
	report(n, n.Attach("s1"), 1, 80)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // a file where the directory was
		t.Fatal(err)
	}
	if err := n.Forget("b"); err == nil {
		t.Error("forgotten without the disk")
	}
	wantLimits(t, n, 0, 0, 0)
}

// Whom FIRST waits for: a silent member with standbys, never one that only ANY has lost.
func TestAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for rule, awaited := range map[string][]string{"ANY 1 (s1, s2)": nil, "FIRST 1 (s2, s1)": {"b"}} {
			n := memberNode(t, rule)
			report(n, n.Attach("s1"), 1, 80)
			hears(t, n, "b", stateOf("b", rule, 1, 5), reportOf("b", 5))
			wantAwaited(t, n, nil, nil)
			time.Sleep(2 * time.Minute)
			wantAwaited(t, n, awaited, nil)
		}
		n := memberNode(t, "ANY 1 (s1)")
		hears(t, n, "b", stateOf("b", "ANY 2 (s1, s2)", 1))
		time.Sleep(2 * time.Minute)
		wantAwaited(t, n, []string{"b"}, nil) // its stricter rule is no older than ours
		if err := n.Forget("b"); err != nil {
			t.Fatal(err)
		}
		wantAwaited(t, n, nil, []string{"b"})
	})
}

// An operator takes the rule away: the members' rules hold while they are heard, ours does not come back.
func TestDropRule(t *testing.T) {
	dir := t.TempDir()
	n := openMember(t, dir, "ANY 1 (s1)", "b")
	report(n, n.Attach("s1"), 1, 80)
	hears(t, n, "b", stateOf("b", "ANY 1 (s1)", 1))
	if err := n.SetRule(vote.RuleText{}); !errors.Is(err, ledger.ErrRefused) {
		t.Fatalf("an empty rule beside another's: %v", err)
	}
	if err := n.DropRule(); err != nil {
		t.Fatal(err)
	}
	if p, ruled := n.Reportable(); p.Flush != 80 || !ruled {
		t.Errorf("flush %v, a rule is in use: %v", p.Flush, ruled)
	}
	s := stateOf("b", "", 2)
	s.Rule.Generation = 2
	hears(t, n, "b", s)
	n.Reportable() // finds it established
	n.saveKnown()
	if p, ruled := n.Reportable(); p.Flush != ledger.Max || ruled {
		t.Errorf("flush %v, a rule is in use: %v", p.Flush, ruled)
	}
	if r := openMember(t, dir, "", "b").ledger.State().Rule; r.Names != "" || r.Generation != 2 || !r.Established {
		t.Errorf("remembered %+v", r)
	}
}
