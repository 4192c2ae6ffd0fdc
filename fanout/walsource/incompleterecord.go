package walsource

import (
	"context"
	"errors"

	"github.com/replproxy/replproxy/fanout/walstore"
)

// errReplaced: the last record that was received was not whole, and the server has given it up.
var errReplaced = errors.New("the server has given up the record with which stored WAL ended: streaming begins anew")

// givenUpRecord reports whether srv, which writes the stored timeline itself, has less WAL than it had sent, and still
// all records that were whole. It has then crashed, and will write another record there. A server that had sent whole
// pages of the old record keeps them: it does not have less.
func givenUpRecord(have walstore.Positions, srv server) bool {
	return have.Timeline == srv.timeline && !srv.inRecovery() && !srv.virtual && have.Complete > have.Oldest &&
		srv.xlogpos < have.Received && srv.xlogpos >= have.Complete
}

// replaced takes back the beginning of a record that the server has given up (ruling R36): no commit rests on it. The
// sessions that may have been sent it end first, and those that came meanwhile: their standbys begin at a segment's
// start again. What was promised of it falls before that, or a crash in between would make it WAL that is lacking.
func (r *Supply) replaced(ctx context.Context) error {
	r.o.EndSessions(ctx)
	if err := r.rcv.GiveUp(r.o.Store.Positions().Complete); err != nil {
		return err
	}
	if _, err := r.o.Store.DropIncomplete(); err != nil {
		return err
	}
	r.o.EndSessions(ctx)
	return errReplaced
}
