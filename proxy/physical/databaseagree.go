package physical

import (
	"context"
	"errors"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/wire"
)

// admits refuses a command about the stored WAL, wherever it is answered. It refuses a client that could not have come
// in as a physical walsender (ruling R35). It also refuses when the session's server is not the one whose WAL is
// stored. The session is that server's: SQL and logical decoding, which take nothing from here, go on (docs/adr/0072).
// In a transaction, by status, a timeline's history can't be asked for: the question would end it.
func (d *database) admits(ctx context.Context, status byte) (refusal *pgerror.Error, err error) {
	if e := d.physical(); e != nil {
		return e, nil
	}
	d.mu.Lock()
	d.at.InRecovery = d.params["in_hot_standby"] == "on"
	d.mu.Unlock()
	ask := d.asking
	if status != 'I' {
		ask = d.askingWithin
	}
	refusal, err = d.s.h.agree(ctx, ask, &d.at, func() {})
	if err != nil && ctx.Err() != nil {
		return errShutdown(), nil
	}
	return refusal, err
}

// asking puts a Query of our own to the primary, between those of the client, and returns the first row of its answer;
// see [asking].
func (d *database) asking(query string) (row []string, refused *pgerror.Error, err error) {
	a, err := d.ask(query)
	if err != nil {
		return nil, nil, err
	}
	return a.row, a.failed, d.tell(a.unsaid)
}

// askingWithin asks the primary amid a transaction of the client. It sends IDENTIFY_SYSTEM only. Any other query, SHOW
// too, gets 25001 from here as the primary's refusal: one that the primary itself refuses would spoil the transaction.
func (d *database) askingWithin(query string) (row []string, refused *pgerror.Error, err error) {
	if query != "IDENTIFY_SYSTEM" {
		return nil, pgerror.New(pgerror.ActiveSQLTransaction, "%s cannot run inside a transaction block", query), nil
	}
	return d.asking(query)
}

// first returns the first value of the first row, "" for none.
func (a *ownQuery) first() string {
	if len(a.row) == 0 {
		return ""
	}
	return a.row[0]
}

// awaitEnd holds the end of a base backup back until the WAL up to there is stored. It tells the client why it ends the
// session.
func (d *database) awaitEnd(b *backup, end lsn.Point) error {
	if end.LSN == lsn.Invalid {
		return nil
	}
	err := d.s.h.awaitEnd(d.waits, b, end)
	var e *pgerror.Error
	if errors.As(err, &e) {
		err = errors.Join(err, d.tell(wire.AppendError(nil, e)))
	}
	return err
}
