package physical_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/replproxy/replproxy/conformance/pgtest"
)

// hello is a walsender's client that says no more than its name, in the plainest way.
func hello(t *testing.T, addr, user string) (answer byte) {
	t.Helper()
	conn := dial(t, addr)
	sayName(t, conn, user)
	var typ [1]byte
	_, err := io.ReadFull(conn, typ[:])
	must(t, err)
	return typ[0]
}

func sayName(t *testing.T, conn net.Conn, user string) {
	t.Helper()
	m := &pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30,
		Parameters: map[string]string{"user": user, "replication": "true"}}
	b, err := m.Encode(nil)
	must(t, err)
	_, err = conn.Write(b)
	must(t, err)
}

// TestClientsAreAskedBeforeTheyHaveAPlace: once the primary has asked one log-in for SCRAM, others are asked at once, and
// those that think about it take no walsender of the primary. A role that does not exist is asked alike.
func TestClientsAreAskedBeforeTheyHaveAPlace(t *testing.T) {
	t.Parallel()
	primary := pgtest.Need(t, 15).Primary(t, pgtest.SCRAM("secret"))
	w := newWorld(t, primary, worldOptions{maxLogins: 1})
	connect(t, w.conninfo()).send(&pgproto3.Terminate{})
	pgtest.WaitFor(t, readTimeout, "the gate to be free", func() (bool, error) { return w.gate.Status().Running == 0, nil })
	for i := range 20 {
		user := "postgres"
		if i%2 == 0 {
			user = fmt.Sprint("nobody", i)
		}
		if typ := hello(t, w.addr.String(), user); typ != 'R' {
			t.Fatalf("a client is told %q", typ)
		}
	}
	if s := w.gate.Status(); s.Running != 0 || s.Waiting != 0 {
		t.Errorf("clients that think hold places: %+v", s)
	}
	connect(t, w.conninfo()) // passes all of them
}

// TestPrimaryAsksOtherwise: what was asked before is not what the primary wants now. The client is told to come again,
// and then is asked the right thing.
func TestPrimaryAsksOtherwise(t *testing.T) {
	t.Parallel()
	primary := pgtest.Need(t, 15).Primary(t, pgtest.SCRAM("secret"))
	w := newWorld(t, primary, worldOptions{})
	connect(t, w.conninfo())
	primary.Exec(t, "CREATE ROLE other LOGIN REPLICATION PASSWORD 'secret'; COPY (SELECT 'local all all trust' "+
		"UNION ALL SELECT 'host replication all all password' UNION ALL SELECT 'host all all all scram-sha-256') "+
		"TO '"+primary.Dir+"/pg_hba.conf'")
	primary.Reload()
	var told []string
	pgtest.WaitFor(t, readTimeout, "the new pg_hba.conf", func() (bool, error) {
		_, err := tryConnect(t, w.conninfo())
		if err != nil {
			told = append(told, err.Error())
		}
		return len(told) > 0 && err == nil, nil
	})
	if len(told) != 1 || !strings.Contains(told[0], "57P03") {
		t.Errorf("clients were told %q", told)
	}
}
