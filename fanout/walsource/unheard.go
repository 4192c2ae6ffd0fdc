package walsource

import (
	"context"
	"strings"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/deadline"
	"github.com/replproxy/replproxy/internal/knownwal"
)

// waitsFor returns why timeline t is not followed before members of u have spoken; nil: it waits for none.
func waitsFor(u knownwal.Unheard, t lsn.TimelineID) error {
	switch {
	case len(u.Members) == 0:
		return nil
	case u.KnownBy != "":
		return pgerror.New(pgerror.ObjectNotInPrerequisite,
			"timeline %s %s %s has said what it reported, which %s has in cluster.members and this proxy has not",
			t, notBefore, u.Members[0], u.KnownBy).
			WithHint("Restart this proxy with the same cluster.members. Only if %s is gone for good, say so at %s: "+
				"replproxy forget %s; if %s is gone too, here: replproxy forget %s.",
				u.Members[0], u.KnownBy, u.Members[0], u.KnownBy, u.KnownBy)
	case !u.Alone:
		return pgerror.New(pgerror.ObjectNotInPrerequisite,
			"timeline %s %s %s has said what it reported", t, notBefore, strings.Join(u.Members, " and "))
	}
	return pgerror.New(pgerror.ObjectNotInPrerequisite,
		"timeline %s %s another member has said what it reported, and none was heard since the start", t, notBefore).
		WithHint("Start %s. Only if each is gone for good, say so: replproxy forget %s.",
			strings.Join(u.Members, " or "), u.Members[0])
}

// notBefore is part of each refusal of a timeline that waits for a member to speak, and tells it from others.
const notBefore = "is not followed before"

// The first server that answers must not decide alone. A proxy that has just started waits this long for members that
// it has not heard, because they may know of WAL that a server lacks. Links are up within a second where members run.
const (
	listenFirst = 2 * time.Second
	listenDelay = 50 * time.Millisecond
)

// listen waits for members that are not heard yet, once after the start. Before each connection it asks those that are:
// what they have said of themselves is some seconds old, and what they have acknowledged since must not be lacking.
func (r *Supply) listen(ctx context.Context) error {
	for ; time.Since(r.began) < listenFirst; _ = deadline.Sleep(ctx, listenDelay) {
		if _, unheard := r.o.Others(); len(unheard.Members) == 0 {
			break
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	r.o.Ask(ctx)
	return nil
}
