package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"strconv"
	"sync/atomic"

	"github.com/jackc/pgpassfile"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/keyfile"
	"github.com/replproxy/replproxy/internal/stamp"
)

// replicationDatabase is the database name of a physical walsender connection: the server ignores it, the passfile
// matches it (facts F1).
const replicationDatabase = "replication"

// maxLoginMessage bounds one message during the log-in, in bytes: authentication data and settings
// are small, and the peer is not authenticated yet.
const maxLoginMessage = 1 << 20

// Connect logs in as the proxy itself, with conninfo's user and credentials. params are added to the startup packet
// (replication=true, application_name=…) and win over conninfo's settings; "database" replaces dbname. A session that
// is not for replication is for a round of SQL and is closed after it (ruling R38). Its statements and pauses are
// bounded at the server, and the settings of the role are overridden. A server that target_session_attrs does not want
// is passed over. The session must be closed. The error is a *[ConnectError].
func (c *Config) Connect(ctx context.Context, params map[string]string) (*Session, error) {
	r, err := c.read()
	if err != nil {
		return nil, unreadable(err)
	}
	s, failed := r.connectAmong(ctx, r.order(), params, r.attrs)
	if s != nil {
		return s, nil
	}
	if ctx.Err() != nil {
		return nil, failed
	}
	if r.attrs != attrsPreferStandby || !errors.Is(failed, ErrNotStandby) {
		return nil, failed
	}
	for _, a := range failed.Attempts {
		if errors.Is(a.Err, ErrNotStandby) {
			if s, err := r.login(ctx, a.Endpoint, params, attrsAny); err == nil {
				return s, nil
			}
		}
	}
	return nil, failed
}

// ConnectTo logs in as Connect does, at the server at e only, as a Session has it, whatever its role.
func (c *Config) ConnectTo(ctx context.Context, e Endpoint, params map[string]string) (*Session, error) {
	r, err := c.read()
	if err != nil {
		return nil, unreadable(err)
	}
	return r.login(ctx, e, params, attrsAny)
}

// skip reports whether an earlier attempt makes e pointless. That is so when its address did not answer, or its server
// refused for a reason that has nothing to do with TLS.
func (e *ConnectError) skip(next Endpoint) bool {
	if e.unreachable(next) {
		return true
	}
	for _, a := range e.Attempts {
		var refusal *pgerror.Error
		decided := errors.As(a.Err, &refusal) && refusal.Code != pgerror.InvalidAuthorization || isRole(a.Err)
		_, have := a.Endpoint.target()
		if _, want := next.target(); have == want && decided {
			return true
		}
	}
	return false
}

func isRole(err error) bool {
	for _, r := range []error{ErrStandby, ErrNotStandby, ErrReadOnly, ErrReadWrite, ErrNoRole} {
		if errors.Is(err, r) {
			return true
		}
	}
	return false
}

func (r *reading) login(ctx context.Context, e Endpoint, params map[string]string, attrs sessionAttrs,
) (*Session, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	var frames *frameReader
	bySQL := params["replication"] == ""
	cfg, unread := r.libraryConfig(e, asSQL(params))
	cfg.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		frames = newFrameReader(r)
		return pgproto3.NewFrontend(frames, w)
	}
	var role error
	var connected atomic.Bool // the library dials again, in a goroutine of its own, to cancel what failed
	var first atomic.Int32    // see listening
	cfg.ValidateConnect = func(_ context.Context, pc *pgconn.PgConn) error {
		role = attrs.judge(pc.ParameterStatus)
		return role
	}
	cfg.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := r.dial.DialContext(ctx, network, address)
		if err == nil {
			connected.Store(true)
			conn = &listening{conn, stamp.NewArrival(), &first}
		}
		return conn, err
	}
	pc, err := pgconn.ConnectConfig(ctx, cfg)
	switch {
	case err != nil && role != nil:
		return nil, role
	case err != nil && !connected.Load():
		return nil, errDial{plainReason(err)}
	case err != nil && e.TLS() && !e.direct && first.Load() == 'N'+1:
		return nil, errHeard{errRefusedTLS}
	case err != nil:
		reason := reasonOf(err)
		if unread != nil {
			reason = fmt.Errorf("%w (%w)", reason, unread)
		}
		if first.Load() != 0 {
			return nil, errHeard{reason}
		}
		return nil, errSilent{reason}
	}
	h, err := pc.Hijack()
	if err != nil {
		return nil, err
	}
	var arrival stamp.Arrival
	if clear, ok := h.Conn.(*listening); ok {
		h.Conn, arrival = clear.Conn, clear.arrival // within TLS it stays
	}
	s := &Session{
		Arrival: arrival, Conn: h.Conn, Reader: frames.r, Parameters: maps.Clone(h.ParameterStatuses),
		PID: h.PID, Key: h.SecretKey, Endpoint: e.reached(h.Conn),
	}
	if bySQL {
		if err := s.setTimeouts(ctx); err != nil {
			s.Close()
			return nil, errHeard{err}
		}
	}
	return s, nil
}

// libraryConfig returns the library's configuration for one endpoint. unread is the error of the password file that is
// there and was not read: the log-in may well need none.
func (r *reading) libraryConfig(e Endpoint, params map[string]string) (cfg *pgconn.Config, unread error) {
	cfg = r.base.Copy()
	cfg.Host, cfg.Port, cfg.Fallbacks = e.Host, e.Port, nil
	cfg.TLSConfig = e.tlsConfig()
	cfg.ConnectTimeout = 0 // login's context has it
	cfg.MaxProtocolMessageBodyLen = maxLoginMessage
	if e.Addr != "" && !e.Unix() {
		cfg.LookupFunc = func(context.Context, string) ([]string, error) { return []string{e.Addr}, nil }
	}
	if r.dial.instead != nil { // the name is nobody's host
		cfg.LookupFunc = func(_ context.Context, name string) ([]string, error) { return []string{name}, nil }
	}
	if cfg.RuntimeParams["application_name"] == "" && r.fallback != "" {
		cfg.RuntimeParams["application_name"] = r.fallback
	}
	for name, value := range params {
		if name == "database" {
			cfg.Database = value
			continue
		}
		cfg.RuntimeParams[name] = value
	}
	dbname := cfg.Database
	if params["replication"] == "true" {
		cfg.Database = replicationDatabase
	}
	cfg.Password, unread = r.passwordFor(e, cfg.Database, dbname)
	return cfg, unread
}

// passwordFor returns conninfo's password, else the passfile's for this very host, by the first of the databases that
// has one. The file is read anew each time: passwords change while a daemon runs. One that others may read is not used,
// as libpq does.
func (r *reading) passwordFor(e Endpoint, databases ...string) (password string, unread error) {
	if r.password != "" {
		return r.password, nil
	}
	content, err := keyfile.ReadPasswords(r.passfile)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	file, parseErr := pgpassfile.ParsePassfile(bytes.NewReader(content))
	if err = errors.Join(err, parseErr); err != nil {
		return "", err
	}
	host := e.Host
	if e.Unix() {
		host = "localhost"
	}
	for _, db := range databases {
		if p := file.FindPassword(host, strconv.Itoa(int(e.Port)), db, r.base.User); p != "" {
			return p, nil
		}
	}
	return "", nil
}
