package hostile

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/replproxy/replproxy/grammar/copyboth"
)

// bound is the time within which an answer must come on a busy machine.
const bound = 30 * time.Second

// attack is one named case.
type attack struct {
	name string
	play func(p *peer)
	// want lists the answers in order; then the case is over. A SQLSTATE is an error; ready, copy, copyin and copyout
	// are those messages. The words asked, continue, final, ok and negotiate are of a log-in, and stream is a message
	// of a stream. The word closed is the end of the connection, 200 and the like are answers of http. "": play has
	// looked itself.
	want string
	// postgres is PostgreSQL's answer, where it is not the same; "-": it is not asked.
	postgres string
	// heavy cases are played once and not again and again.
	heavy bool
}

// run plays a case against the server at port, and reports what was not as wanted.
func (a attack) run(ctx context.Context, w *world, port int, want string) error {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	p := &peer{w: w, ctx: ctx, port: port}
	defer p.close()
	a.play(p)
	if p.err == nil {
		p.judge(strings.Fields(want))
	}
	return p.err
}

// peer is one hostile client. After its first error its methods do nothing.
type peer struct {
	w    *world
	ctx  context.Context
	port int
	from string // the address that it comes from; "": the honest clients'
	conn net.Conn
	r    *bufio.Reader
	form form
	pid  uint32
	key  []byte
	err  error

	closers []io.Closer
}

// form is the language that the server is expected to speak.
type form int

const (
	speaksFrames form = iota
	speaksBytes       // only the end of the connection counts
	speaksHTTP        // answers
)

func (p *peer) close() {
	if p.conn != nil {
		p.conn.Close()
	}
	for _, c := range p.closers {
		c.Close()
	}
}

func (p *peer) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

func (p *peer) use(conn net.Conn) {
	if p.conn != nil {
		p.closers = append(p.closers, p.conn)
	}
	p.conn, p.r = conn, bufio.NewReader(conn)
	deadline, _ := p.ctx.Deadline()
	_ = conn.SetDeadline(deadline)
}

// dial connects by TCP to the server, or to another address.
func (p *peer) dial(address ...string) *peer {
	if p.err != nil {
		return p
	}
	to := append(address, fmt.Sprintf("127.0.0.1:%d", p.port))[0]
	network := "tcp"
	if strings.HasPrefix(to, "/") {
		network = "unix"
	}
	var dialer net.Dialer
	if p.from != "" && network == "tcp" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(p.from)}
	}
	conn, err := dialer.DialContext(p.ctx, network, to)
	if err != nil {
		p.fail("dial: %w", err)
		return p
	}
	p.use(conn)
	return p
}

// secure begins TLS on the connection.
func (p *peer) secure(protocols ...string) {
	if p.err != nil {
		return
	}
	conn := tls.Client(p.conn, &tls.Config{InsecureSkipVerify: true, NextProtos: protocols})
	if err := conn.HandshakeContext(p.ctx); err != nil {
		p.fail("TLS: %w", err)
		return
	}
	p.use(conn)
}

// send writes; a server that has closed already has its answer judged.
func (p *peer) send(all ...[]byte) *peer {
	for _, b := range all {
		if p.err == nil {
			_, _ = p.conn.Write(b)
		}
	}
	return p
}

// half ends the client's side only.
func (p *peer) half() {
	if p.err == nil {
		_ = p.conn.(interface{ CloseWrite() error }).CloseWrite()
	}
}

// byteIs reads one byte.
func (p *peer) byteIs(want byte) {
	if p.err != nil {
		return
	}
	if b, err := p.r.ReadByte(); err != nil || b != want {
		p.fail("got %q, %v instead of %q", b, err, want)
	}
}

func (p *peer) conninfo(words ...string) string {
	host := "127.0.0.1"
	return strings.Join(append([]string{
		fmt.Sprintf("host=%s port=%d user=postgres dbname=postgres sslmode=disable password='%s'", host, p.port, password),
	}, words...), " ")
}

// logIn takes over an honest client's session right behind its log-in.
func (p *peer) logIn(words ...string) *peer {
	if p.err != nil {
		return p
	}
	h, err := p.honest(p.conninfo(words...), nil)
	if err != nil {
		p.fail("log in: %w", err)
		return p
	}
	p.use(h.Conn)
	p.pid, p.key = h.PID, h.SecretKey
	return p
}

// honest logs in as a client does. record, if there is one, gets what the client sends.
func (p *peer) honest(conninfo string, record *recorder) (*pgconn.HijackedConn, error) {
	c, err := pgconn.ParseConfig(conninfo)
	if err != nil {
		return nil, err
	}
	if record != nil {
		dial := c.DialFunc
		c.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			return &recorded{Conn: conn, to: record}, err
		}
	}
	conn, err := pgconn.ConnectConfig(p.ctx, c)
	if err != nil {
		return nil, err
	}
	return conn.Hijack()
}

// recorder keeps the bytes that were written.
type recorder struct {
	mu   sync.Mutex
	sent []byte
}

type recorded struct {
	net.Conn
	to *recorder
}

func (r *recorded) Write(b []byte) (int, error) {
	r.to.mu.Lock()
	r.to.sent = append(r.to.sent, b...)
	r.to.mu.Unlock()
	return r.Conn.Write(b)
}

// stream logs in as a standby and starts to stream what is new.
func (p *peer) stream(words ...string) *peer {
	p.logIn(append([]string{"replication=true"}, words...)...)
	p.query("START_REPLICATION PHYSICAL " + p.recent())
	p.await('W')
	return p
}

// recent is a position from which streaming succeeds.
func (p *peer) recent() string {
	if p.err != nil {
		return ""
	}
	p.query("IDENTIFY_SYSTEM")
	body := p.await('D')
	p.await('Z')
	fields := columns(body)
	if len(fields) != 4 {
		p.fail("IDENTIFY_SYSTEM gave %q", body)
		return ""
	}
	return fields[2]
}

// await reads until a frame of that type and returns its body; an error frame instead is a failure.
func (p *peer) await(typ byte) []byte {
	for p.err == nil {
		t, body, err := p.frame()
		switch {
		case err != nil:
			p.fail("waiting for %q: %w", typ, err)
		case t == typ:
			return body
		case t == 'E':
			p.fail("waiting for %q: error %s", typ, sqlstate(body))
		}
	}
	return nil
}

// judge reads until everything wanted has come, or something else has.
func (p *peer) judge(want []string) {
	if p.err != nil {
		return // there may be no connection at all
	}
	for i, w := range want {
		got, err := p.event(w)
		if err == nil && got != w {
			err = fmt.Errorf("got %s", got)
		}
		if err != nil {
			p.fail("after %q: %w instead of %s", want[:i], err, w)
			return
		}
	}
}

// event is the next thing that counts.
func (p *peer) event(wanted string) (string, error) {
	for {
		if p.form == speaksHTTP {
			resp, err := http.ReadResponse(p.r, nil)
			if err != nil {
				return ended(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			return fmt.Sprint(resp.StatusCode), nil
		}
		if p.form == speaksBytes {
			_, err := io.Copy(io.Discard, p.r)
			if err == nil {
				err = io.EOF
			}
			return ended(err)
		}
		typ, body, err := p.frame()
		if err != nil {
			return ended(err)
		}
		if word := word(typ, body); word != "" && (word != "stream" || wanted == "stream") {
			return word, nil
		}
	}
}

// ended tells the end of a connection from silence.
func ended(err error) (string, error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return "", errors.New("silence")
	}
	return "closed", nil
}

// Messages of a client.

// ask makes a walsender send something.
func (p *peer) ask() *peer { return p.send(report(copyboth.StatusUpdate{ReplyRequested: true})) }
