package link

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/cluster/identity"
	"github.com/replproxy/replproxy/cluster/identity/identitytest"
)

// A member that was renamed, while another one does not know the new name, is refused as a whole: nothing that it says
// counts under the old name. Both ends say why.
func TestRenamedMember(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "b")
	na := identitytest.Node(t, "proxy_a")
	var both [2]*identity.Node
	for i, name := range []string{"proxy_b", "proxy_c"} {
		n, err := identity.Open(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		both[i] = n
	}
	a, c := start(t, na, identitytest.Members(t, na, both[0])), start(t, both[1], identitytest.Members(t, na, both[1]))
	c.put(t, 3, 0, "I pull")
	c.phone.set(a.peer())
	deadline := time.After(longWait)
	for {
		here, there := a.Status().Peers[0], c.Status().Peers[0]
		if strings.Contains(here.Strange, `"proxy_b" comes under the name "proxy_c"`) &&
			strings.Contains(there.LastError, "its cluster.members lacks") {
			break
		}
		select {
		case <-deadline:
			t.Fatalf("%+v and %+v", here, there)
		case <-time.After(10 * time.Millisecond):
		}
	}
	a.book.mu.Lock()
	defer a.book.mu.Unlock()
	if len(a.book.items) != 0 || a.book.up["proxy_b"] || a.Status().Garbled != 0 {
		t.Errorf("heard %v, up %v, %+v", a.book.items, a.book.up, a.Status())
	}
}
