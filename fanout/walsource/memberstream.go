package walsource

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/replproxy/replproxy/fanout/backfill"
)

// MemberStream is a [Source] of a stream from a member of the cluster. It has no segments. All fields are required.
type MemberStream struct {
	On Rung
	// Choose returns the member to stream from; "": none. It may block until that is known, or ctx ends.
	Choose func(ctx context.Context) (member string, err error)
	// Open logs in at a member.
	Open   func(ctx context.Context, member string, params map[string]string) (Conn, error)
	Logger *slog.Logger

	last atomic.Pointer[string] // chosen last
}

// Rung names the place.
func (m *MemberStream) Rung() Rung { return m.On }

// Segments returns none: a member gives them as [RungMember].
func (m *MemberStream) Segments(bool) backfill.Source { return nil }

// Chosen returns the member that was chosen last, "": none was. Any goroutine may ask.
func (m *MemberStream) Chosen() string {
	if p := m.last.Load(); p != nil {
		return *p
	}
	return ""
}

// Stream opens the stream. A member that has the tail of a fenced timeline and can't be reached is no reason to miss a
// primary that can: the next source is asked then.
func (m *MemberStream) Stream(ctx context.Context, params map[string]string) (Conn, error) {
	member, err := m.Choose(ctx)
	m.last.Store(&member)
	if err != nil || member == "" {
		return nil, err
	}
	s, err := m.Open(ctx, member, params)
	if m.On != RungFenced {
		return s, err
	}
	if err != nil {
		m.Logger.Warn("cannot take the tail of a fenced timeline from a member", "member", member, "err", err)
		return nil, nil
	}
	m.Logger.Info("taking the tail of a fenced timeline from a member", "member", member)
	return s, nil
}
