package physical_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// readTimeout bounds every wait of a scripted client.
const readTimeout = time.Minute

// script is a client that sends what a test wants and writes down what comes back.
type script struct {
	t      testing.TB
	conn   net.Conn
	f      *pgproto3.Frontend
	pid    uint32
	key    []byte
	params map[string]string
}

// connect logs in as a physical walsender.
func connect(t testing.TB, conninfo string, extra ...string) *script {
	t.Helper()
	s, err := tryConnect(t, conninfo, extra...)
	if err != nil {
		t.Fatalf("log in: %v", err)
	}
	return s
}

func tryConnect(t testing.TB, conninfo string, extra ...string) (*script, error) {
	ctx, cancel := context.WithTimeout(t.Context(), readTimeout)
	defer cancel()
	words := append([]string{conninfo, "replication=true"}, extra...)
	pg, err := pgconn.Connect(ctx, strings.Join(words, " "))
	if err != nil {
		return nil, err
	}
	h, err := pg.Hijack()
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { h.Conn.Close() })
	return &script{
		t: t, conn: h.Conn, f: h.Frontend, pid: h.PID, key: h.SecretKey, params: h.ParameterStatuses,
	}, nil
}

// query runs one simple query and returns the transcript up to ReadyForQuery.
func (s *script) query(text string) string {
	s.t.Helper()
	s.send(&pgproto3.Query{String: text})
	return s.transcript()
}

func (s *script) send(messages ...pgproto3.FrontendMessage) {
	s.t.Helper()
	for _, m := range messages {
		s.f.Send(m)
	}
	if err := s.f.Flush(); err != nil {
		s.t.Fatalf("send: %v", err)
	}
}

func (s *script) receive() (pgproto3.BackendMessage, error) {
	_ = s.conn.SetReadDeadline(time.Now().Add(readTimeout))
	return s.f.Receive()
}

// transcript reads up to ReadyForQuery, CopyBothResponse or the end of the connection.
func (s *script) transcript() string {
	s.t.Helper()
	var lines []string
	for {
		m, err := s.receive()
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return strings.Join(append(lines, "closed"), "\n")
		case err != nil:
			s.t.Fatalf("after %q: %v", lines, err)
		}
		lines = append(lines, describe(m))
		switch m.(type) {
		case *pgproto3.ReadyForQuery, *pgproto3.CopyBothResponse, *pgproto3.CopyInResponse:
			return strings.Join(lines, "\n")
		}
	}
}

// describe prints a message with everything that a client can depend on.
func describe(m pgproto3.BackendMessage) string {
	switch m := m.(type) {
	case *pgproto3.RowDescription:
		var cols []string
		for _, f := range m.Fields {
			cols = append(cols, fmt.Sprintf("%s(table %d.%d type %d len %d mod %d format %d)", f.Name,
				f.TableOID, f.TableAttributeNumber, f.DataTypeOID, f.DataTypeSize, f.TypeModifier, f.Format))
		}
		return "T " + strings.Join(cols, " ")
	case *pgproto3.DataRow:
		var values []string
		for _, v := range m.Values {
			if v == nil {
				values = append(values, "NULL")
			} else {
				values = append(values, fmt.Sprintf("%q", v))
			}
		}
		return "D " + strings.Join(values, " ")
	case *pgproto3.CommandComplete:
		return fmt.Sprintf("C %q", m.CommandTag)
	case *pgproto3.ErrorResponse:
		return "E " + fields(*m)
	case *pgproto3.NoticeResponse:
		return "N " + fields(pgproto3.ErrorResponse(*m))
	case *pgproto3.ReadyForQuery:
		return fmt.Sprintf("Z %c", m.TxStatus)
	case *pgproto3.ParameterStatus:
		return fmt.Sprintf("S %s=%s", m.Name, m.Value)
	case *pgproto3.CopyData:
		return "d " + hex.EncodeToString(m.Data[:min(len(m.Data), 64)])
	case *pgproto3.CopyBothResponse:
		return fmt.Sprintf("W %d %v", m.OverallFormat, m.ColumnFormatCodes)
	}
	return fmt.Sprintf("%T", m)
}

func fields(e pgproto3.ErrorResponse) string {
	return fmt.Sprintf("%s %s %s %q detail %q hint %q position %d", e.Severity, e.SeverityUnlocalized,
		e.Code, e.Message, e.Detail, e.Hint, e.Position)
}

// copyDataUntil reads WAL until it has seen the byte before end; "ok", or what came instead.
func (s *script) copyDataUntil(end lsn.LSN) string {
	s.t.Helper()
	for {
		m, err := s.receive()
		if err != nil {
			return err.Error()
		}
		d, ok := m.(*pgproto3.CopyData)
		if !ok {
			return describe(m)
		}
		if w, err := copyboth.DecodeXLogData(d.Data); err == nil && w.Start+lsn.LSN(len(w.Data)) >= end {
			return "ok"
		}
	}
}

// confirm reports everything up to at.
func (s *script) confirm(at lsn.LSN) {
	s.t.Helper()
	r := copyboth.StatusUpdate{Progress: lsn.Progress{Write: at, Flush: at, Apply: at}, SentAt: copyboth.TimeOf(time.Now())}
	s.send(&pgproto3.CopyData{Data: r.Append(nil)})
}
