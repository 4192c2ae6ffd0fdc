package scene

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Claimant is a standby's walreceiver that says what it needs of the primary, as the test wants.
type Claimant struct {
	conn *pgconn.PgConn
	done chan struct{}
}

// Claim attaches to a server, under a name and with a slot there ("": without), at its end.
func Claim(t *testing.T, conninfo, name, slot string) *Claimant {
	t.Helper()
	conn := pgtest.Connect(t, conninfo+" replication=true application_name="+name)
	row, err := pgtest.QueryConn(t.Context(), conn, "IDENTIFY_SYSTEM")
	if err != nil {
		t.Fatal(err)
	}
	command := fmt.Sprintf("START_REPLICATION PHYSICAL %s TIMELINE %s", row[0][2], row[0][1])
	if slot != "" {
		command = fmt.Sprintf("START_REPLICATION SLOT %s PHYSICAL %s TIMELINE %s", slot, row[0][2], row[0][1])
	}
	conn.Frontend().SendQuery(&pgproto3.Query{String: command})
	if err := errors.Join(conn.Frontend().Flush(), conn.Conn().SetDeadline(time.Now().Add(5*time.Minute))); err != nil {
		t.Fatal(err)
	}
	c := &Claimant{conn: conn, done: make(chan struct{})}
	go func() { // until the connection ends
		defer close(c.done)
		for err := error(nil); err == nil; {
			_, err = conn.Frontend().Receive()
		}
	}()
	t.Cleanup(c.Leave)
	at, err := lsn.Parse(row[0][2])
	if err != nil {
		t.Fatal(err)
	}
	c.send(t, copyboth.StatusUpdate{Progress: lsn.Progress{Write: at, Flush: at, Apply: at}}.Append(nil))
	return c
}

// Needs sets the transactions that it needs from now on; 0 is none.
func (c *Claimant) Needs(t *testing.T, xmin, catalog uint64) {
	t.Helper()
	c.send(t, copyboth.HotStandbyFeedback{
		Xmin: copyboth.FullXID(xmin), CatalogXmin: copyboth.FullXID(catalog),
	}.Append(nil))
}

func (c *Claimant) send(t *testing.T, message []byte) {
	t.Helper()
	c.conn.Frontend().Send(&pgproto3.CopyData{Data: message})
	if err := c.conn.Frontend().Flush(); err != nil {
		t.Fatal(err)
	}
}

// Leave ends the connection without a word.
func (c *Claimant) Leave() {
	_ = c.conn.Conn().Close()
	<-c.done
}
