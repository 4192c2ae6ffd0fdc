package walsource

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/fanout/walstore"
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

// watched is a primary that is found at once, and for as long as it is watched.
type watched upstream.Endpoint

func (w watched) Watch(ctx context.Context, _ lsn.SystemID, _ lsn.TimelineID, found func(upstream.Endpoint)) error {
	found(upstream.Endpoint(w))
	<-ctx.Done()
	return ctx.Err()
}

// TestRealPrimarySaysWhatIsOwed: a proxy that streams from a member hears from the primary how much was reported at most.
func TestRealPrimarySaysWhatIsOwed(t *testing.T) {
	t.Parallel()
	primary := pgtest.Usual(t).Primary(t)
	config, err := upstream.Parse(primary.Conninfo())
	if err != nil {
		t.Fatal(err)
	}
	at, m := primary.CurrentLSN(t), newMemStore()
	system, err := strconv.ParseUint(primary.Scalar(t, "SELECT system_identifier FROM pg_control_system()"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	m.id = walstore.Identity{System: lsn.SystemID(system), SegSize: primary.SegSize(t), ServerMajor: 15}
	m.pos = walstore.Positions{Timeline: 1, Oldest: 100, Received: at, Flushed: at, Complete: at}
	primary.Exec(t, "CREATE TABLE since (n int)") // what it has written since is looked at: it was up all the time
	m.owes = walstore.Repair{From: at, To: at + 16<<20, Bound: at + 16<<20}
	o := Options{Upstream: config, Name: "b", Store: m, Primary: watched(config.Endpoints()[0])}
	o.Quorum = newRule(free())
	r, err := New(alone(o))
	if err != nil {
		t.Fatal(err)
	}
	stop := r.lookAfterPrimary(t.Context(), m.id.System)
	defer stop()
	pgtest.WaitFor(t, time.Minute, "the primary's word", func() (said bool, _ error) {
		m.locked(func() { said = m.primaryHas > at })
		return said, nil
	})
}
