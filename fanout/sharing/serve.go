package sharing

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/replproxy/replproxy/fanout/slot/shared"
)

const (
	// silence ends a connection on which nothing is asked: everything is said again more often.
	silence = 3 * resyncInterval
	// maxConns bounds the connections that a member may have here: one, and those that it has given up.
	maxConns = 4
	// lengthSize is the frame's header: how many bytes of message follow.
	lengthSize = 4
)

var errTooMany = errors.New("too many connections of this member")

// Serve answers a member on a connection of one of Protocols until ctx ends or the connection does.
func (s *Sharing) Serve(ctx context.Context, member, protocol string, conn net.Conn) {
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer conn.Close()
	err := s.serve(member, versionOf(protocol), conn)
	if ctx.Err() == nil && !errors.Is(err, io.EOF) {
		s.o.Logger.Info("ended a member's connection about slots", "member", member, "err", err)
	}
}

func (s *Sharing) serve(member string, version byte, conn net.Conn) error {
	m := s.members[member]
	if m == nil {
		return fmt.Errorf("%q is no other member", member)
	}
	if !m.enter() {
		return errTooMany
	}
	defer m.leave()
	for {
		msg, err := read(conn, version, silence)
		if err != nil {
			return err
		}
		if !m.mayAsk(msg) {
			return fmt.Errorf("%w: it asks for another member", shared.ErrEncoding)
		}
		if err := write(conn, version, s.answer(m, msg)); err != nil {
			return err
		}
	}
}

// answer takes over a member's states, or judges its request, and returns the answer.
func (s *Sharing) answer(m *member, msg shared.Message) shared.Message {
	out := shared.Message{Wish: msg.Wish, All: msg.All}
	if msg.Wish != shared.Tell {
		for _, e := range msg.Entries {
			why, said := s.o.Slots.Offer(msg.Wish, e.State, s.o.Members.Hears)
			said.Name = e.Name
			doubted := why == shared.Busy && msg.Wish == shared.Attach && e.For != "" && s.o.Wanted != nil &&
				s.o.Wanted(e.Name, e.For, e.ActivePID)
			out.Entries = append(out.Entries, shared.Entry{State: said, Why: why, Doubted: doubted})
		}
		return out
	}
	s.heard(m, msg)
	ours := s.entries()
	if msg.All {
		out.Entries = ours
		m.told(time.Now(), shared.Message{Entries: ours})
		return out
	}
	wanted := map[string]bool{}
	for _, e := range msg.Entries {
		wanted[e.Name] = true
	}
	for _, e := range ours {
		if wanted[e.Name] {
			out.Entries = append(out.Entries, e)
		}
	}
	return out
}

// mayAsk reports whether a message asks for its sender only. A member may tell what others have written, but not ask
// for them.
func (m *member) mayAsk(msg shared.Message) bool {
	return msg.Wish == shared.Tell ||
		!slices.ContainsFunc(msg.Entries, func(e shared.Entry) bool { return e.Owner != m.name })
}

func write(conn net.Conn, version byte, msg shared.Message) error {
	b, err := shared.Append(make([]byte, lengthSize), version, msg)
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-lengthSize))
	if err := conn.SetWriteDeadline(time.Now().Add(askTimeout)); err != nil {
		return err
	}
	_, err = conn.Write(b)
	return err
}

func read(conn net.Conn, version byte, patience time.Duration) (shared.Message, error) {
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return shared.Message{}, err
	}
	var head [lengthSize]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return shared.Message{}, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > shared.MaxSize {
		return shared.Message{}, fmt.Errorf("%w: %d bytes", shared.ErrEncoding, n)
	}
	if err := conn.SetReadDeadline(time.Now().Add(askTimeout)); err != nil {
		return shared.Message{}, err
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(conn, b); err != nil {
		return shared.Message{}, err
	}
	return shared.Decode(b, version)
}

func (m *member) enter() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conns >= maxConns {
		return false
	}
	m.conns++
	return true
}

func (m *member) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.conns--
}
