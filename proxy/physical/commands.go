package physical

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"

	"github.com/replproxy/replproxy/fanout"
	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/wire"
	"github.com/replproxy/replproxy/proxy"
)

// execute answers one command, from the hub or through the link.
func (s *session) execute(parent context.Context, cmd grammar.Command, text string, notices []*pgerror.Error) error {
	ctx, end := s.begin(parent)
	defer end()
	before := appendNotices(nil, notices)
	err := s.awaitFirst(parent, ctx, cmd)
	if err != nil {
		return s.fail(before, err)
	}
	switch c := cmd.(type) {
	case *grammar.IdentifySystem:
		before, err = s.identify(before)
	case *grammar.TimelineHistory:
		before, err = s.timelineHistory(before, c.Timeline)
	case *grammar.CreateSlot:
		if c.Logical {
			return s.pass(parent, ctx, cmd, text)
		}
		before, err = s.createSlot(ctx, before, c)
	case *grammar.ReadSlot:
		before, err = s.readSlot(ctx, before, c.Name)
	case *grammar.DropSlot:
		if !s.h.own(c.Name) && !s.h.o.Hub.HasSlot(ctx, c.Name) { // the primary may have it
			linked, err := s.linked(parent)
			if errors.Is(err, errClientGone) {
				return err
			}
			if linked && err == nil {
				if err := s.forward(parent, ctx, cmd, text); !errors.Is(err, errLinkLost) {
					return err
				}
			}
		}
		before, err = s.dropSlot(parent, ctx, before, c)
	case *grammar.StartPhysical:
		return s.startPhysical(parent, ctx, before, c)
	case *grammar.Show:
		return s.show(parent, ctx, before, c, text)
	case *grammar.AlterSlot:
		if !s.h.o.Hub.HasSlot(ctx, c.Name) {
			return s.pass(parent, ctx, cmd, text)
		}
		err = errAlterPhysical()
	default:
		return s.pass(parent, ctx, cmd, text)
	}
	return s.done(before, err)
}

func errAlterPhysical() *pgerror.Error {
	return pgerror.New(pgerror.FeatureNotSupported,
		"cannot use ALTER_REPLICATION_SLOT with a physical replication slot")
}

func (s *session) identify(b []byte) ([]byte, error) {
	ask := s.h.o.Hub.Identify
	if s.parameters["application_name"] == fanout.FetchName {
		ask = s.h.o.Hub.Fetchable
	}
	id, err := ask()
	if err != nil {
		return b, err
	}
	s.identified = true
	if !s.isProgram() {
		s.link.spare()
	}
	return appendResult(b, "IDENTIFY_SYSTEM", identifyColumns(s.version),
		text(id.System.String()), text(id.Timeline.String()), text(id.XLogPos.String()), null()), nil
}

// timelineHistory sends the description before it looks for the file, as PostgreSQL does.
func (s *session) timelineHistory(b []byte, tli lsn.TimelineID) ([]byte, error) {
	b = appendRowDescription(b, historyColumns(s.version))
	name, content, err := s.h.o.Hub.TimelineHistory(tli)
	if err != nil {
		return b, err
	}
	if content == nil {
		content = []byte{} // an empty file is no NULL
	}
	return appendComplete(appendDataRow(b, text(name), content), "TIMELINE_HISTORY"), nil
}

func (s *session) createSlot(ctx context.Context, b []byte, c *grammar.CreateSlot) ([]byte, error) {
	r := fanout.SlotRequest{Name: c.Name, Temporary: c.Temporary, ReserveWAL: c.ReserveWAL}
	if err := s.h.o.Hub.CreateSlot(ctx, r, s.server.PID()); err != nil {
		return b, err
	}
	return appendResult(b, "CREATE_REPLICATION_SLOT", createSlotColumns(),
		text(c.Name), text("0/0"), null(), null()), nil
}

func (s *session) readSlot(ctx context.Context, b []byte, name string) ([]byte, error) {
	values := []value{null(), null(), null()}
	state, ok, err := s.h.o.Hub.ReadSlot(ctx, name)
	if err != nil {
		return b, err
	}
	if ok {
		values[0] = text("physical")
		if state.RestartLSN != lsn.Invalid {
			values[1] = text(state.RestartLSN.String())
			values[2] = text(state.RestartTimeline.String())
		}
	}
	return appendResult(b, "READ_REPLICATION_SLOT", readSlotColumns(), values...), nil
}

// dropSlot may wait for the session that uses the slot. Meanwhile the client is watched: one that
// has gone must not keep us waiting, and a session elsewhere in the cluster not the server's stop.
func (s *session) dropSlot(parent, ctx context.Context, b []byte, c *grammar.DropSlot) ([]byte, error) {
	if s.h.own(c.Name) {
		return b, fanout.ErrProxySlot(c.Name)
	}
	if c.Wait {
		watched, done := s.watched(parent, ctx)
		defer done()
		ctx = watched
	}
	if err := s.h.o.Hub.DropSlot(ctx, c.Name, c.Wait, s.server.PID()); err != nil {
		return b, err
	}
	return appendComplete(b, "DROP_REPLICATION_SLOT"), nil
}

// watched returns the context of a command that waits: it ends with ctx, with the client's going away and with the
// server's stop, parent, each with its reason. What the client sends meanwhile is left for after done, which returns
// when nobody reads any more.
func (s *session) watched(parent, ctx context.Context) (watched context.Context, done func()) {
	watched, end := context.WithCancelCause(ctx)
	stop := s.client.listen(watched, ifGone(end), holdBack)
	withdraw := context.AfterFunc(parent, func() { end(errShutdown()) })
	return watched, func() {
		withdraw()
		stop()
		end(nil)
	}
}

// holdBack leaves messages that the client sends during a command for after it.
func holdBack(context.Context, wire.Header) (more bool) { return false }

// ifGone returns a function that fails a command which needs nothing of the client, once the client has left. What can
// be no frame is looked at after the command, as PostgreSQL does.
func ifGone(fail context.CancelCauseFunc) func(context.Context, error) {
	return func(_ context.Context, err error) {
		if !errors.Is(err, wire.ErrFrame) {
			fail(err)
		}
	}
}

// shownBy returns the certificate that a client has shown and that was verified, nil for none.
func shownBy(conn net.Conn) *x509.Certificate {
	secure, ok := conn.(*tls.Conn)
	if !ok {
		return nil
	}
	if chains := secure.ConnectionState().VerifiedChains; len(chains) > 0 && len(chains[0]) > 0 {
		return chains[0][0]
	}
	return nil
}

// startPhysical hands the connection to the hub for as long as it streams. Then there is no use for
// the link any more, and the primary has one walsender more to give.
func (s *session) startPhysical(parent, ctx context.Context, b []byte, c *grammar.StartPhysical) error {
	if !s.identified && s.version.Major() < 15 && s.parameters["in_hot_standby"] == "on" {
		return s.fail(b, pgerror.New(pgerror.ObjectNotInPrerequisite,
			"IDENTIFY_SYSTEM has not been run before START_REPLICATION"))
	}
	if c.WithSlot && c.Slot == "" {
		return s.fail(b, pgerror.New(pgerror.UndefinedObject, `replication slot "" does not exist`))
	}
	if member(s.client.conn) == "" { // whose name its key has proved
		e := s.h.o.Voters().Refuse(s.parameters["application_name"], s.req.User(), shownBy(s.req.Conn))
		if e != nil {
			return s.fail(b, e)
		}
	}
	if s.link.take() {
		s.link.release()
	}
	if err := s.send(b); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(parent, func() { cancel(fanout.ErrDrain) })()
	s.server.SetState(proxy.StateStreaming)
	next, err := s.h.o.Hub.StartReplication(ctx,
		fanout.StartRequest{
			Slot: c.Slot, At: c.At, Timeline: c.Timeline, Known: lsn.LSN(s.h.known.Load()), Version: s.version,
			StoreOnly: member(s.client.conn) != "", Whole: member(s.client.conn) != "" || s.isProgram(),
		},
		s.info(), fanout.Conn{Arrival: s.client.arrival, Net: s.client.conn, Frames: s.client.r})
	if errors.Is(err, fanout.ErrSessionOver) {
		return errors.Join(errOver, err)
	}
	if err != nil {
		if s.link.take() {
			s.link.giveBack()
		}
		return s.fail(nil, err)
	}
	if parent.Err() != nil {
		return errOver // as in PostgreSQL, a server that stops says no more than CopyDone
	}
	var out []byte
	if next != nil {
		out = appendDataRow(appendRowDescription(out, nextTimelineColumns()),
			text(next.Timeline.String()), text(next.Start.String()))
	}
	out = appendComplete(appendComplete(out, "START_STREAMING"), "START_REPLICATION")
	return s.send(s.ready(out))
}
