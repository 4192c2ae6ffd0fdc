package walsource

import (
	"errors"
	"fmt"
	"github.com/replproxy/replproxy/fanout/walreceiver"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// TestStoppedForGood: errors that trying again does not mend are told from those that may pass. The stop stays shown
// while the same error comes again, and between the tries. It is over when WAL comes, or a stream goes on.
func TestStoppedForGood(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{fmt.Errorf("receive: %w", &walstore.DivergedError{Timeline: 1, LSN: 7}), true},
		{&walstore.PageError{LSN: 7, Field: "magic"}, true},
		{errPermanent{errors.New("server version 13 is not supported")}, true},
		{errPermanent{pgerror.New(pgerror.ObjectNotInPrerequisite, systemDiffers)}, true},
		{errPermanent{pgerror.New(pgerror.ObjectNotInPrerequisite, "x").WithCause(&LackError{Timeline: 2})}, false},
		{errPermanent{errors.New("timeline 2 is not followed before b has said what it reported")}, false},
		{errors.New("connection refused"), false},
		{pgerror.Fatal(pgerror.CannotConnectNow, "the database system is starting up"), false},
	} {
		if got := forGood(c.err); got != c.want {
			t.Errorf("%v: %v", c.err, got)
		}
	}
	m := newMemStore()
	m.pos = walstore.Positions{Timeline: 1, Oldest: fakeSeg, Received: fakeSeg + 9}
	r := with(t, Options{Store: m})
	diverged := &walstore.DivergedError{Timeline: 1, LSN: fakeSeg + 5}
	began := time.Now().Add(-time.Minute)
	r.stop(diverged, "first", began)
	r.stop(diverged, "again", began.Add(time.Second))
	r.stop(errors.New("connection refused"), "refused", began.Add(2*time.Second))
	if s := r.Status().Stop; s == nil || s.Why != "again" || !s.Since.Equal(began) || s.Foreign {
		t.Fatalf("%+v", s)
	}
	r.rcv.Update(func(st *walreceiver.Status) { st.State, st.Since = walreceiver.Streaming, time.Now() })
	if r.Status().Stop == nil {
		t.Error("over as soon as a stream begins")
	}
	r.rcv.Update(func(st *walreceiver.Status) { st.Since = time.Now().Add(-2 * heals) })
	if r.Status().Stop != nil {
		t.Error("not over though a stream goes on")
	}
	r.rcv.Update(func(st *walreceiver.Status) { st.State = walreceiver.Disconnected })
	m.locked(func() { m.pos.Received++ })
	if r.Status().Stop != nil {
		t.Error("not over though WAL has come")
	}
	r.stop(errPermanent{errors.New(systemDiffers)}, "other", time.Now())
	if s := r.Status().Stop; s == nil || !s.Foreign || !strings.Contains(s.Why, "other") {
		t.Errorf("%+v", s)
	}
}
