package walsource

import (
	"testing"
	"time"

	"github.com/replproxy/replproxy/handshake/upstream"
)

// TestDownSince: an earlier silence is over once the primary was seen, whoever the stream came from. The next one begins
// when a look finds none.
func TestDownSince(t *testing.T) {
	up, err := upstream.Parse("host=127.0.0.1 port=1 user=u sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Upstream: up, Name: "px", Store: openStore(t, t.TempDir())}
	o.Quorum = newRule(free())
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	r.silent(true) // the member that was streamed from has died
	if _, down := r.DownSince(); !down {
		t.Error("nobody answers, and it is not down")
	}
	r.setPrimary(upstream.Endpoint{Host: "db1"}, true)
	if since, down := r.DownSince(); down {
		t.Errorf("down since %s, and there", since)
	}
	first := time.Now()
	r.setPrimary(upstream.Endpoint{}, false)
	r.silent(true)
	if since, down := r.DownSince(); !down || since.Before(first) {
		t.Errorf("down %v since %s, which was before %s", down, since, first)
	}
}
