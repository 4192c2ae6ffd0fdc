package identity

import (
	"errors"
	"path/filepath"
	"testing"
)

// A member that goes by another name than its key has at the other end is refused, whoever dials. One that says no name
// is of an older release.
func TestRenamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cluster")
	a, before := open(t, "proxy_a"), openIn(t, dir, "proxy_b")
	after := openIn(t, dir, "proxy_c")
	old, renamed := members(t, a, before), members(t, a, after)
	const proto = "acks/1"
	_, err := shake(t, Client(after, renamed, "proxy_a", proto), Server(a, old, proto))
	var other RenamedError
	if !errors.As(err, &other) || other != (RenamedError{"proxy_b", "proxy_c"}) || !errors.Is(err, ErrStranger) {
		t.Errorf("it dials: %v", err)
	}
	if _, err := shake(t, Client(a, old, "proxy_b", proto), Server(after, renamed, proto)); !errors.As(err, &other) {
		t.Errorf("it answers: %v", err)
	}
	if _, err := shake(t, Client(after, renamed, "proxy_a", proto), Server(a, renamed, proto)); err != nil {
		t.Errorf("both know the new name: %v", err)
	}
	if after.cert, err = selfSigned("", after.key); err != nil {
		t.Fatal(err)
	}
	state, err := shake(t, Client(after, renamed, "proxy_a", proto), Server(a, old, proto))
	if err != nil {
		t.Fatal(err)
	}
	if name, err := old.Peer(state); name != "proxy_b" || err != nil {
		t.Errorf("one that says no name is %q, %v", name, err)
	}
}

func openIn(t *testing.T, dir, name string) *Node {
	t.Helper()
	n, err := Open(dir, name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
