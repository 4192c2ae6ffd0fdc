package console

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

// TestBounds: a client cannot make the session keep more than it may.
func TestBounds(t *testing.T) {
	s := open()
	last := ""
	for i := range maxStatements + 1 {
		last = say(t, s, &pgproto3.Parse{Name: fmt.Sprint("s", i), Query: "SELECT 1"})
	}
	if last != "E"+string(pgerror.ProgramLimitExceeded) {
		t.Error(last)
	}
	if _, _, err := s.Message(t.Context(), '!', nil); !pgerror.HasCode(err, pgerror.ProtocolViolation) {
		t.Error(err)
	}
}

// TestLongAnswers: what would be a huge answer is an error, and the session goes on.
func TestLongAnswers(t *testing.T) {
	long := strings.Repeat("x", 60_000)
	columns := strings.TrimSuffix(strings.Repeat("$1::text,", 1500), ",")
	s := open()
	got := say(t, s, &pgproto3.Parse{Query: "SELECT " + columns}, &pgproto3.Bind{Parameters: [][]byte{[]byte(long)}}, &pgproto3.Execute{}, &pgproto3.Sync{})
	if got != "ParseComplete BindComplete E54000 ZI" {
		t.Errorf("one row: %.200s", got)
	}
	got = say(t, s, &pgproto3.Query{String: "SET a.b = '" + long + "'"},
		&pgproto3.Query{String: strings.Repeat("SELECT "+strings.Repeat("current_setting('a.b'), ", 20)+"1;", 20)})
	if !strings.HasSuffix(got, " E54000 ZI") || len(got) > maxAnswer+10_000 {
		t.Errorf("several statements: %d bytes, …%s", len(got), got[max(0, len(got)-50):])
	}
	// Portals keep rows.
	query := "SELECT " + strings.Repeat("current_setting('a.b'), ", 50) + "1 FROM pg_stat_activity"
	said := []pgproto3.FrontendMessage{&pgproto3.Parse{Query: query}}
	for i := range 5 {
		name := fmt.Sprint("p", i)
		said = append(said, &pgproto3.Bind{DestinationPortal: name}, &pgproto3.Execute{Portal: name, MaxRows: 1})
	}
	got = say(t, s, append(said, &pgproto3.Sync{})...)
	if n := strings.Count(got, "PortalSuspended"); n < 2 || n > 4 || !strings.HasSuffix(got, " E54000 ZI") {
		t.Errorf("%d portals, …%s", n, got[max(0, len(got)-50):])
	}
	if got = say(t, s, &pgproto3.Query{String: "SELECT 1"}); got != "T(?column?:23:0) D(1) C(SELECT 1) ZI" {
		t.Error(got)
	}
}

// TestManyStatements: a message has at most so many statements, and they share one look at the proxy.
func TestManyStatements(t *testing.T) {
	looks := 0
	s := New(func() *Snapshot { looks++; return sample() }, Client{Parameters: map[string]string{"server_version": "15.4"}})
	got := say(t, s, &pgproto3.Query{String: strings.Repeat("SELECT count(*) FROM status; SHOW version;", maxQueries/2)})
	if looks != 1 || strings.Count(got, "C(SELECT 1)") != maxQueries/2 {
		t.Errorf("%d looks, %.200s", looks, got)
	}
	if got = say(t, s, &pgproto3.Query{String: strings.Repeat("SELECT 1;", maxQueries+1)}); got != "E54000 ZI" {
		t.Errorf("%.200s", got)
	}
	if say(t, s, &pgproto3.Query{String: "SELECT count(*) FROM status"}); looks != 2 {
		t.Errorf("%d looks", looks)
	}
}

// TestKeptText: the text of prepared statements and the number of settings are bounded; what is closed makes room.
func TestKeptText(t *testing.T) {
	s := open()
	query := "SELECT '" + strings.Repeat("x", 60_000) + "'"
	got := ""
	for i := range maxSource/len(query) + 1 {
		got = say(t, s, &pgproto3.Parse{Name: fmt.Sprint("s", i), Query: query})
	}
	if got != "E54000" {
		t.Error(got)
	}
	got = say(t, s, &pgproto3.Sync{}, &pgproto3.Close{ObjectType: 'S', Name: "s0"}, &pgproto3.Parse{Name: "s", Query: query})
	if got != "ZI CloseComplete ParseComplete" {
		t.Error(got)
	}
	for i := range maxSettings {
		got = say(t, s, &pgproto3.Query{String: fmt.Sprintf("SET a.b%d = 1", i)})
	}
	if got != "E54000 ZI" {
		t.Error(got)
	}
}

// TestTooLong: a message that was not read is an error as any other.
func TestTooLong(t *testing.T) {
	s := open()
	for _, c := range []struct {
		typ   byte
		flush bool
		last  string
	}{{'Q', true, "ZI"}, {'P', false, "E54000"}, {'B', false, ""}, {'d', false, ""}} {
		out, flush, err := s.TooLong(c.typ, 1<<20)
		got := messages(out)
		if err != nil || flush != c.flush || !strings.HasSuffix(got, c.last) || (got == "") != (c.last == "") {
			t.Errorf("%c: %s, %t, %v", c.typ, got, flush, err)
		}
	}
	if got := say(t, s, &pgproto3.Sync{}, &pgproto3.Query{String: "SELECT 1"}); got != "ZI T(?column?:23:0) D(1) C(SELECT 1) ZI" {
		t.Error(got)
	}
}

// TestEndedSession: the end of the session ends what it evaluates.
func TestEndedSession(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	query := "SELECT '" + strings.Repeat("a", 3000) + "' LIKE '%" + strings.Repeat("a", 1000) + "b'"
	out, _, err := open().Message(ctx, 'Q', append([]byte(query), 0))
	if got := messages(out); err != nil || got != "E57014 ZI" {
		t.Errorf("%s, %v", got, err)
	}
}
