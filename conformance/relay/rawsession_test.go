package relay

import (
	"encoding/binary"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/wire"
)

// rawSession is a client that has logged in and says what it likes.
type rawSession struct {
	t    *testing.T
	conn net.Conn
	r    *wire.Reader
	// cancel is a CancelRequest for it.
	cancel []byte
}

func hijack(t *testing.T, conninfo string) *rawSession {
	t.Helper()
	c, err := pgtest.Dial(t.Context(), conninfo)
	if err != nil {
		t.Fatal(err)
	}
	var h *pgconn.HijackedConn
	if h, err = c.Hijack(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Conn.Close() })
	_ = h.Conn.SetDeadline(time.Now().Add(answerTimeout))
	cancel := binary.BigEndian.AppendUint32(nil, uint32(12+len(h.SecretKey)))
	cancel = binary.BigEndian.AppendUint32(cancel, 80877102)
	cancel = append(binary.BigEndian.AppendUint32(cancel, h.PID), h.SecretKey...)
	return &rawSession{t, h.Conn, wire.NewReader(h.Conn, 8<<10), cancel}
}

func (s *rawSession) say(messages ...[]byte) {
	s.t.Helper()
	var all []byte
	for _, m := range messages {
		all = append(all, m...)
	}
	if _, err := s.conn.Write(all); err != nil {
		s.t.Fatal(err)
	}
}

func (s *rawSession) close() { s.conn.Close() }

// until reads up to one of the types, and gives all types with SQLSTATEs and messages of errors. CopyData is left out.
func (s *rawSession) until(types string) string {
	s.t.Helper()
	var heard []string
	for {
		h, err := s.r.Next()
		var body []byte
		if err == nil {
			body, err = s.r.Body(h.Size, 1<<20)
		}
		if err != nil {
			return strings.Join(append(heard, "end"), " ")
		}
		switch h.Type {
		case 'd':
		case 'E':
			e, _ := wire.ParseError(body)
			heard = append(heard, "E "+string(e.Code)+" "+e.Message)
		default:
			heard = append(heard, string(h.Type))
		}
		if strings.IndexByte(types, h.Type) >= 0 {
			return strings.Join(heard, " ")
		}
	}
}

func (s *rawSession) ask(query string) string {
	s.t.Helper()
	s.say(queryOf(query))
	return s.until("ZWG")
}

func queryOf(query string) []byte { return wire.AppendFrame(nil, 'Q', append([]byte(query), 0)) }

// identify returns the position in the second column of the first row.
func (s *rawSession) identify() (at lsn.LSN) {
	s.t.Helper()
	s.say(queryOf("IDENTIFY_SYSTEM"))
	for {
		h, err := s.r.Next()
		if err != nil {
			s.t.Fatal(err)
		}
		body, err := s.r.Body(h.Size, 1<<20)
		if err != nil {
			s.t.Fatal(err)
		}
		switch h.Type {
		case 'D':
			fields := body[2:]
			for range 2 {
				fields = fields[4+binary.BigEndian.Uint32(fields):]
			}
			if at, err = lsn.Parse(string(fields[4 : 4+binary.BigEndian.Uint32(fields)])); err != nil {
				s.t.Fatal(err)
			}
		case 'Z':
			return at
		}
	}
}

// streaming counts the walsenders of the primary that stream under a name.
func streaming(t *testing.T, primary *pgtest.Server, name string) string {
	t.Helper()
	return primary.Scalar(t, "SELECT count(*) FROM pg_stat_replication WHERE lower(application_name) = lower('"+name+
		"') AND state IN ('catchup', 'streaming')")
}
