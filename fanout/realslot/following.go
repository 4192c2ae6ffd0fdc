package realslot

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// Following tells which server and timeline the store is filled from; false: none at present. It must be
// cheap.
type Following func() (e upstream.Endpoint, system lsn.SystemID, timeline lsn.TimelineID, ok bool)

// errNotFollowed: no slot is touched, since what the store has flushed says nothing about that server.
var errNotFollowed = errors.New("the walreceiver does not stream from this server")

// server is the one that is followed. Values are comparable.
type server struct {
	at       upstream.Endpoint
	system   lsn.SystemID
	timeline lsn.TimelineID
}

func (f Following) now() (server, error) {
	e, system, timeline, ok := f()
	if !ok {
		return server{}, errNotFollowed
	}
	return server{e, system, timeline}, nil
}

// still reports whether w is followed without a break that shows.
func (f Following) still(w server) bool {
	now, err := f.now()
	return err == nil && now == w
}

// askServer asks a server for its system and timeline. The timeline of a primary is that of the WAL it writes, because
// the control file's is as old as the last checkpoint. A standby returns none; nothing is committed there.
const askServer = "SELECT (SELECT system_identifier FROM pg_catalog.pg_control_system()), " +
	"CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN " +
	"pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8) END"

// verify asks over SQL whether s leads to w. A primary that does stays so for as long as s lives.
func (w server) verify(ctx context.Context, s *upstream.Session) error {
	return w.ask(ctx, s, askServer, 16)
}

func (w server) ask(ctx context.Context, s *upstream.Session, command string, base int) error {
	res, err := s.Query(ctx, command)
	if err != nil {
		return fmt.Errorf("identify %s: %w", s.Endpoint, err)
	}
	if len(res) != 1 || len(res[0].Rows) != 1 || len(res[0].Rows[0]) < 2 {
		return fmt.Errorf("identify %s: unexpected answer", s.Endpoint)
	}
	row := res[0].Rows[0]
	return w.is(row[0], row[1], base)
}

// is compares a server's identity with w, and returns an error if it is another one; timeline is nil where it did not
// tell. base is that of the timeline's digits: 10 in the answer to IDENTIFY_SYSTEM, 16 in the name of a segment.
func (w server) is(system, timeline []byte, base int) error {
	if id := number(system, 64); lsn.SystemID(id) != w.system {
		return fmt.Errorf("%w: database system identifier differs between the primary and standby: %s, not %s",
			errNotFollowed, system, w.system)
	}
	if timeline == nil {
		return nil
	}
	if t, err := strconv.ParseUint(string(timeline), base, 32); err != nil || lsn.TimelineID(t) != w.timeline {
		return fmt.Errorf("%w: its timeline is %s, not %s", errNotFollowed, timeline, w.timeline)
	}
	return nil
}

// verified is a Connector to w, whatever answers at its address by now.
type verified struct {
	d Dialer
	w server
}

func (v verified) Connect(ctx context.Context, params map[string]string) (*upstream.Session, error) {
	s, err := v.d.ConnectTo(ctx, v.w.at, params)
	if err != nil {
		return nil, err
	}
	if params["replication"] != "" {
		err = v.w.ask(ctx, s, "IDENTIFY_SYSTEM", 10)
	} else {
		err = v.w.verify(ctx, s)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}
