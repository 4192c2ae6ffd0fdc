package backfill

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// TestMembersInTurn: each member that can be reached is asked, but for those of other WAL. WAL is absent only when all
// have said so.
func TestMembersInTurn(t *testing.T) {
	for name, c := range map[string]struct {
		live   []string
		other  string
		asked  []string
		absent bool
	}{
		"all say so":          {[]string{"b", "c"}, "", []string{"b", "c"}, true},
		"one has other WAL":   {[]string{"b", "c"}, "b", []string{"c"}, false},
		"one is not reached":  {[]string{"c"}, "", []string{"c"}, false},
		"nobody is reached":   {nil, "", nil, false},
		"both are of another": {[]string{"c"}, "c", nil, false},
	} {
		var asked []string
		m := &Members{
			All: []string{"b", "c"}, Live: func() []string { return c.live },
			SameWAL: func(member string) bool { return member != c.other },
			Connect: func(_ context.Context, member string, params map[string]string) (*upstream.Session, error) {
				if params["replication"] != "true" {
					t.Errorf("%s: %v", name, params)
				}
				asked = append(asked, member)
				return nil, ErrAbsent
			},
		}
		_, err := m.Open(t.Context(), walstore.Identity{}, Run{})
		if !slices.Equal(asked, c.asked) || errors.Is(err, ErrAbsent) != c.absent {
			t.Errorf("%s: asked %q, %v", name, asked, err)
		}
	}
}
