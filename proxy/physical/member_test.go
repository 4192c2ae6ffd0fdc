package physical

import (
	"io"
	"net"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/handshake"
)

// A member is let in before the primary has told this proxy anything, by what the stored WAL tells. Once the primary has
// told more that holds. A proxy without WAL lets nobody in.
func TestMemberBeforeThePrimary(t *testing.T) {
	nothing := func() (parameters, settings map[string]string) { return nil, nil }
	stored := func() (parameters, settings map[string]string) {
		return map[string]string{"server_version": "17"}, map[string]string{"wal_segment_size": "1MB"}
	}
	for name, c := range map[string]struct {
		told    map[string]string // by the primary
		stored  func() (parameters, settings map[string]string)
		version string // "": it is refused
	}{
		"nothing is known":        {nil, nothing, ""},
		"nothing is asked":        {nil, nil, ""},
		"the WAL is known":        {nil, stored, "17"},
		"the primary is known":    {map[string]string{"server_version": "17.5"}, stored, "17.5"},
		"it has told nothing yet": {map[string]string{}, stored, "17"},
	} {
		client, server := net.Pipe()
		t.Cleanup(func() { client.Close() })
		go func() { _, _ = io.Copy(io.Discard, client) }()
		s := &session{
			h: &Handler{o: Options{
				Parameters: func() map[string]string { return c.told }, Stored: c.stored,
				Settings: func() map[string]string { return nil },
			}},
			req: &handshake.Request{}, server: noSession{}, client: newClient(server),
		}
		err := s.welcome("b")
		if (err == nil) != (c.version != "") || s.parameters["server_version"] != c.version {
			t.Errorf("%s: %v, %v", name, err, s.parameters)
		}
		if err != nil {
			if !strings.Contains(err.Error(), "starting up") {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if _, size, ok := s.setting("wal_segment_size"); ok != (c.version == "17") || ok && size != "1MB" {
			t.Errorf("%s: segments of %q, %t", name, size, ok)
		}
	}
}
