package console

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/wire"
	"github.com/replproxy/replproxy/proxy/console/datum"
	"github.com/replproxy/replproxy/proxy/console/sql"
)

// Client is the client of a session.
type Client struct {
	User       string
	PID        int32
	Parameters map[string]string        // as the primary or this proxy told them to the client
	Settings   func() map[string]string // the primary's, as SHOW prints them
}

// Session answers the messages of one client. Make it with [New]. It is not safe for concurrent use.
type Session struct {
	snapshot func() *Snapshot
	client   Client
	major    int
	began    time.Time // of the transaction, for now()
	seen     seen

	settings   settings
	savepoints []savepoint // of the transaction
	status     byte        // of ReadyForQuery
	skipping   bool        // up to Sync, after an error in the extended protocol
	statements map[string]*prepared
	portals    map[string]*portal
	out        []byte // what is to be sent
}

// New makes a session. snapshot is called at most once for each message, from the goroutine that calls Message.
func New(snapshot func() *Snapshot, c Client) *Session {
	number, _, _ := strings.Cut(c.Parameters["server_version"], ".")
	digits := strings.IndexFunc(number, func(r rune) bool { return r < '0' || r > '9' })
	if digits >= 0 {
		number = number[:digits]
	}
	major, _ := strconv.Atoi(number)
	s := &Session{
		snapshot: snapshot, client: c, major: major, status: 'I',
		statements: map[string]*prepared{}, portals: map[string]*portal{},
	}
	s.settings = startSettings(c)
	return s
}

// Message answers a message of the client, whose body is read anew by nobody else. The answer is to be sent before the
// next one comes; flush: at once. A message that no frontend sends is a FATAL. The end of ctx ends an evaluation.
func (s *Session) Message(ctx context.Context, typ byte, body []byte) (out []byte, flush bool, err error) {
	s.look(ctx)
	return s.answer(typ, func() error { return s.handle(typ, body) })
}

// TooLong answers a message whose body is longer than MaxMessage, and was not read.
func (s *Session) TooLong(typ byte, size int) (out []byte, flush bool, err error) {
	s.out = nil
	return s.answer(typ, func() error {
		return pgerror.New(pgerror.ProgramLimitExceeded, "message of %d bytes is too long", size).
			WithDetail("The console of replproxy takes %d bytes.", MaxMessage)
	})
}

func (s *Session) answer(typ byte, handle func() error) (out []byte, flush bool, err error) {
	switch typ {
	case 'S':
		s.skipping = false
		s.sync()
		return s.out, true, nil
	case 'd', 'c', 'f': // of a COPY that is over
		return nil, false, nil
	case 'Q', 'F', 'P', 'B', 'D', 'E', 'C', 'H':
	default:
		return nil, true, pgerror.Fatal(pgerror.ProtocolViolation, "invalid frontend message type %d", typ)
	}
	if s.skipping && typ != 'Q' && typ != 'F' {
		return nil, false, nil
	}
	if err := handle(); err != nil {
		s.fail(err)
		s.skipping = typ != 'Q' && typ != 'F'
	}
	if typ == 'Q' || typ == 'F' {
		s.skipping = false
		s.ready()
	}
	return s.out, typ == 'Q' || typ == 'F' || typ == 'H', nil
}

func (s *Session) handle(typ byte, body []byte) error {
	decoded := func(m pgproto3.FrontendMessage) error {
		if m.Decode(body) != nil {
			return pgerror.New(pgerror.ProtocolViolation, "invalid message format")
		}
		return nil
	}
	switch typ {
	case 'Q':
		var m pgproto3.Query
		if err := decoded(&m); err != nil {
			return err
		}
		return s.query(m.String)
	case 'P':
		var m pgproto3.Parse
		if err := decoded(&m); err != nil {
			return err
		}
		return s.parse(&m)
	case 'B':
		var m pgproto3.Bind
		if err := decoded(&m); err != nil {
			return err
		}
		return s.bind(&m)
	case 'D':
		var m pgproto3.Describe
		if err := decoded(&m); err != nil {
			return err
		}
		return s.describe(&m)
	case 'E':
		var m pgproto3.Execute
		if err := decoded(&m); err != nil {
			return err
		}
		return s.execute(&m)
	case 'C':
		var m pgproto3.Close
		if err := decoded(&m); err != nil {
			return err
		}
		return s.closeOne(&m)
	case 'F':
		return pgerror.New(pgerror.FeatureNotSupported,
			"fastpath function calls are not supported by the console of replproxy")
	}
	return nil // Flush
}

// fail tells the client of an error, which ends its transaction.
func (s *Session) fail(err error) {
	s.out = wire.AppendError(s.out, pgerror.From(err))
	if s.status == 'T' {
		s.status = 'E'
	}
}

func (s *Session) notice(e *pgerror.Error) { s.out = wire.AppendError(s.out, e) }

func (s *Session) say(m pgproto3.BackendMessage) {
	if b, err := m.Encode(s.out); err == nil { // fails only for a message that is too long
		s.out = b
	}
}

func (s *Session) ready() { s.say(&pgproto3.ReadyForQuery{TxStatus: s.status}) }

func (s *Session) sync() {
	if s.status == 'I' {
		clear(s.portals)
		s.began = time.Time{}
	}
	s.ready()
}

// query answers a simple query: all of its statements, up to the first that fails. Statements are read before any of
// them is run.
func (s *Session) query(text string) error {
	delete(s.statements, "")
	delete(s.portals, "")
	all, err := sql.Parse(text)
	if err != nil {
		return err
	}
	if len(all) > maxQueries {
		return pgerror.New(pgerror.ProgramLimitExceeded, "a query can have at most %d statements", maxQueries)
	}
	var ready []*prepared
	for _, one := range all {
		if err := sql.NoParameters(one); err != nil {
			return err
		}
		p, err := s.read(one)
		if err != nil {
			return err
		}
		ready = append(ready, p)
	}
	if len(all) == 0 {
		s.say(&pgproto3.EmptyQueryResponse{})
	}
	for _, p := range ready {
		if err := s.prepare(p, nil); err != nil {
			return err
		}
		o := &portal{of: p}
		if err := s.run(o); err != nil {
			return err
		}
		if o.of.columns != nil {
			s.say(rowDescription(o.of.columns, nil))
		}
		if err := s.rows(o, 0); err != nil {
			return err
		}
	}
	if s.status == 'I' {
		s.began = time.Time{}
	}
	return nil
}

// world shows the tables to a statement, as they were when its message came.
func (s *Session) world() *sql.World {
	if s.began.IsZero() {
		s.began = time.Now().UTC().Truncate(time.Microsecond)
	}
	return &sql.World{
		Columns: func(name string) []sql.Column { t, _ := s.table(name); return t.columns },
		Rows:    func(name string) [][]datum.Value { t, _ := s.table(name); return t.rows },
		Call:    s.call,
		Setting: s.setting, Now: s.began, Zone: s.settings.zone(), Major: s.major, Steps: s.seen.steps,
	}
}

// call returns the value of a function without arguments. The proxy is a server in recovery: it receives WAL.
func (s *Session) call(name string) (datum.Type, datum.Value, bool) {
	switch name {
	case "version":
		text := "PostgreSQL " + s.client.Parameters["server_version"] + " behind replproxy " + s.now().Status.Version
		return datum.Text, text, true
	case "pg_is_in_recovery":
		return datum.Bool, true, true
	case "pg_last_wal_receive_lsn":
		return datum.LSN, position(s.now().Status.Store.Flushed), true
	case "pg_last_wal_replay_lsn":
		return datum.LSN, nil, true
	case "pg_current_wal_lsn", "pg_current_wal_flush_lsn", "pg_current_wal_insert_lsn":
		return datum.LSN, pgerror.New(pgerror.ObjectNotInPrerequisite, "recovery is in progress").
			WithHint("WAL control functions cannot be executed during recovery."), true
	case "pg_postmaster_start_time":
		return datum.Timestamptz, moment(s.now().Status.StartedAt), true
	case "current_database":
		return datum.Name, "replproxy", true
	case "current_user", "session_user", "user":
		return datum.Name, datum.Clip(s.client.User), true
	case "pg_backend_pid":
		return datum.Int4, int64(s.client.PID), true
	}
	return 0, nil, false
}
