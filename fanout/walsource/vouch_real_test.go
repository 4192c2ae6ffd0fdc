package walsource

import (
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/knownwal"
)

// TestRealPrimaryIsVouchedFor: a proxy that streams from a member sends its clients to no primary that has lost WAL.
func TestRealPrimaryIsVouchedFor(t *testing.T) {
	t.Parallel()
	primary := pgtest.Usual(t).Primary(t)
	config, err := upstream.Parse(primary.Conninfo())
	if err != nil {
		t.Fatal(err)
	}
	at, operator := primary.CurrentLSN(t), new(wordOf)
	o := Options{Upstream: config, Name: "b", Store: newMemStore(), Accept: operator,
		Others: func() ([]knownwal.Known, knownwal.Unheard) {
			return []knownwal.Known{{Point: lsn.Point{Timeline: 1, LSN: at}, By: "a", Complete: true}}, knownwal.Unheard{}
		}}
	o.Quorum = newRule(free())
	r, err := New(alone(o))
	if err != nil {
		t.Fatal(err)
	}
	vouch := func() error {
		_, err := r.vouch(t.Context(), config.Endpoints()[0], 7, 1)
		return err
	}
	if err := vouch(); err != nil {
		t.Error(err)
	}
	at += 16 << 20
	if err := vouch(); err == nil || !strings.Contains(err.Error(), "the primary has lost WAL up to ") {
		t.Errorf("clients are sent to a primary that has lost WAL: %v", err)
	}
	operator.say(1)
	if err := vouch(); err != nil {
		t.Error(err)
	}
	primary.Stop(t, pgtest.Fast)
	operator.say(0)
	if err := vouch(); err == nil {
		t.Error("a primary is vouched for that nobody has asked")
	}
}
