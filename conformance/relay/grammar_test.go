package relay

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/replproxy/replproxy/conformance/corpus"
	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// With -update the golden files are recorded anew from the servers.
var update = flag.Bool("update", false, "rewrite golden files from live servers")

// answerTimeout bounds one command of the corpus. A base backup checkpoints first.
const answerTimeout = 2 * time.Minute

// differential compares one corpus with servers: live = golden (where that version is recorded) =
// parser.
type differential struct {
	name   string
	dir    string
	params map[string]string // of the sessions that ask
	ask    func(*asker, string) (string, error)
	parser func(v grammar.Version, text string) string

	texts  []string
	golden corpus.Golden
}

func differentials(t *testing.T) []differential {
	all := []differential{{
		name:   "physical",
		dir:    "../../grammar/testdata",
		params: map[string]string{"replication": "true"},
		ask:    (*asker).command,
		parser: func(v grammar.Version, text string) string {
			return corpus.Command(grammar.Dialect{Version: v}, text)
		},
	}, {
		name:   "database",
		dir:    "../../grammar/testdata/database",
		params: map[string]string{"replication": "database", "database": "postgres"},
		ask:    (*asker).command,
		parser: func(v grammar.Version, text string) string {
			return corpus.Command(grammar.Dialect{Version: v, Database: true}, text)
		},
	}, {
		name:   "synchronous_standby_names",
		dir:    "../../grammar/syncrep/testdata",
		params: map[string]string{"database": "postgres"},
		ask:    (*asker).standbyNames,
		parser: func(_ grammar.Version, text string) string { return corpus.Rule(text) },
	}}
	for i := range all {
		d := &all[i]
		var err1, err2 error
		d.texts, err1 = corpus.Texts(d.dir)
		d.golden, err2 = corpus.ReadGolden(d.dir)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// TestDifferential asks servers of every major, and both 15.18 and 15.20, about every text.
func TestDifferential(t *testing.T) {
	all := differentials(t)
	check := func(t *testing.T, in *pgtest.Install) {
		s := in.Primary(t, pgtest.Settings(askedSettings(in)...))
		for _, d := range all {
			t.Run(d.name, func(t *testing.T) { d.check(t, s) })
		}
	}
	pgtest.ForEachMajor(t, check)
	t.Run("pg15npm", func(t *testing.T) { check(t, pgtest.NeedNPM15(t)) })
	for _, d := range all {
		if *update && !t.Failed() {
			if err := d.golden.Write(d.dir, d.texts); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// askedSettings are those of a server on which no slot can be created, so that every command leaves it as it was.
func askedSettings(in *pgtest.Install) []string {
	settings := []string{"max_replication_slots = 0", "wal_level = replica", "max_wal_senders = 40",
		"log_min_messages = fatal", "log_replication_commands = off"}
	if in.Major >= 17 { // or INCREMENTAL is refused before the rest of its list is read
		settings = append(settings, "summarize_wal = on")
	}
	return settings
}

func (d differential) check(t *testing.T, s *pgtest.Server) {
	a := &asker{t: t, server: s, params: d.params}
	defer a.hangUp()
	v := grammar.Version(s.Install.VersionNum)
	if !d.golden.Knows(v) {
		t.Logf("%s is in no golden file yet: run with -update", v)
	}
	for _, text := range d.texts {
		live, err := d.ask(a, text)
		if err != nil {
			t.Fatalf("%s: %q: %v", v, text, err)
		}
		recorded, known := d.golden[text][v]
		if known && recorded != live && !*update {
			t.Errorf("%s: %s\n  live     %s\n  recorded %s", v, corpus.Escape(text), live, recorded)
		}
		d.golden.Set(text, v, live)
		if parsed := d.parser(v, text); live != corpus.Build && parsed != live {
			t.Errorf("%s: %s\n  live   %s\n  parser %s", v, corpus.Escape(text), live, parsed)
		}
	}
}

// asker is a session that is opened again whenever a command has ended it or has begun to stream.
type asker struct {
	t      *testing.T
	server *pgtest.Server
	params map[string]string
	conn   net.Conn
	front  *pgproto3.Frontend
}

func (a *asker) dial() error {
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(a.server.Port)))
	if err != nil {
		return err
	}
	a.conn, a.front = conn, pgproto3.NewFrontend(conn, conn)
	params := map[string]string{"user": "postgres"}
	for k, v := range a.params {
		params[k] = v
	}
	a.front.Send(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: params})
	if _, err := a.exchange(); err != nil {
		return err
	}
	if a.params["replication"] == "" {
		return nil
	}
	// 14 refuses physical START_REPLICATION before it.
	a.front.Send(&pgproto3.Query{String: "IDENTIFY_SYSTEM"})
	_, err = a.exchange()
	return err
}

func (a *asker) hangUp() {
	if a.conn != nil {
		a.conn.Close()
		a.conn = nil
	}
}

// answer has the messages of one query before ReadyForQuery.
type answer struct {
	notices  []*pgerror.Error
	err      *pgerror.Error
	position int32 // of the error; only SQL has it
}

func (a *asker) query(text string) (answer, error) {
	if a.conn == nil {
		if err := a.dial(); err != nil {
			return answer{}, fmt.Errorf("connect: %w", err)
		}
	}
	a.front.Send(&pgproto3.Query{String: text})
	return a.exchange()
}

// exchange flushes and reads up to ReadyForQuery. It ends a COPY that the server begins: a stream and
// an upload by the protocol, a backup by hanging up, and either means that the command was accepted.
func (a *asker) exchange() (answer, error) {
	var got answer
	if err := a.conn.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return got, err
	}
	for {
		if err := a.front.Flush(); err != nil {
			return got, err
		}
		m, err := a.front.Receive()
		if err != nil {
			return got, err
		}
		switch m := m.(type) {
		case *pgproto3.NoticeResponse:
			if m.Code == string(pgerror.NameTooLong) {
				got.notices = append(got.notices, pgerror.Notice(pgerror.NameTooLong, "%s", m.Message))
			}
		case *pgproto3.ErrorResponse:
			if m.Severity == "FATAL" {
				return got, errors.New(m.Message)
			}
			if got.err == nil {
				got.position = m.Position
				got.err = pgerror.New(pgerror.Code(m.Code), "%s", m.Message).
					WithDetail("%s", m.Detail).WithHint("%s", m.Hint)
			}
		case *pgproto3.CopyBothResponse:
			a.front.Send(&pgproto3.CopyDone{})
		case *pgproto3.CopyInResponse:
			a.front.Send(&pgproto3.CopyFail{Message: "enough"})
		case *pgproto3.RowDescription:
			if string(m.Fields[0].Name) == "recptr" { // a base backup begins
				a.hangUp()
				return got, nil
			}
		case *pgproto3.ReadyForQuery:
			return got, nil
		}
	}
}

// command is the outcome of a replication command. An error of the scanner, the grammar or the option lists is an
// error. An error of the server's state means that the command was accepted, after a look at the name or position that
// the message repeats.
func (a *asker) command(text string) (string, error) {
	got, err := a.query(text)
	if err != nil {
		return "", err
	}
	switch {
	case got.err == nil:
	case strings.Contains(got.err.Message, "this build does not support compression"):
		return corpus.Build, nil
	case !aboutText(got):
		a.compareEcho(text, got.err)
		got.err = nil
	}
	return corpus.Outcome(got.notices, got.err), nil
}

// aboutText reports whether an error depends on the text alone. SQL's own errors, which a database
// walsender gives for what is not a replication command, are not of this language.
func aboutText(got answer) bool {
	e := got.err
	prefix := func(code pgerror.Code, text string) bool {
		return e.Code == code && strings.HasPrefix(e.Message, text)
	}
	return e.Code == pgerror.SyntaxError && got.position == 0 ||
		prefix(pgerror.InternalError, "unrecognized option: ") ||
		prefix(pgerror.InvalidParameterValue, "unrecognized value for CREATE_REPLICATION_SLOT option") ||
		prefix("22003", "") ||
		prefix(pgerror.InvalidName, "replication slot name ") ||
		prefix(pgerror.NameTooLong, "replication slot name ") ||
		prefix(pgerror.FeatureNotSupported, "cannot execute SQL commands in WAL sender")
}

// compareEcho holds the parser's values against those in the server's message.
func (a *asker) compareEcho(text string, e *pgerror.Error) {
	c, _, err := grammar.Dialect{
		Version: grammar.Version(a.server.Install.VersionNum), Database: a.params["replication"] == "database",
	}.Parse(text)
	if err != nil {
		return // reported as another outcome, or SQL
	}
	var want string
	switch c := c.(type) {
	case *grammar.Show:
		if !strings.HasPrefix(e.Message, "unrecognized configuration parameter") {
			return
		}
		want = "unrecognized configuration parameter \"" + c.Name + "\""
	case *grammar.DropSlot:
		want = "replication slot \"" + c.Name + "\" does not exist"
	case *grammar.StartPhysical:
		if !strings.HasPrefix(e.Message, "requested starting point ") {
			return
		}
		want = "requested starting point " + c.At.String() + " is ahead of the WAL flush position"
	default:
		return
	}
	if !strings.Contains(e.Message, want) {
		a.t.Errorf("%q: the server says %q, expected %q in it", text, e.Message, want)
	}
}

// standbyNames asks for a value by ALTER SYSTEM SET.
func (a *asker) standbyNames(text string) (string, error) {
	sql := "ALTER SYSTEM SET synchronous_standby_names = " + grammar.QuoteLiteral(text)
	got, err := a.query(sql)
	if err != nil {
		return "", err
	}
	// A line break is legal in the value, but ALTER SYSTEM can't write it into a file.
	if got.err != nil && strings.HasSuffix(got.err.Message, "must not contain a newline") {
		got.err = nil
	}
	return corpus.Outcome(nil, got.err), nil
}
