package proxy_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/handshake/roles"
	"github.com/replproxy/replproxy/handshake/scramauth"
	"github.com/replproxy/replproxy/proxy"
	"github.com/replproxy/replproxy/proxy/relay"
)

// gatekept is a primary that lets everybody in, and which can be reached once it is opened. It notes who came.
type gatekept struct {
	open chan struct{}
	proxy.Dialer

	mu   sync.Mutex
	came []string
}

func newGatekept(t *testing.T) *gatekept {
	g := &gatekept{open: make(chan struct{})}
	g.Dialer = scripted(t, func(c net.Conn) {
		packet, err := readPacket(c)
		if err != nil {
			return
		}
		g.mu.Lock()
		g.came = append(g.came, string(packet[8:]))
		g.mu.Unlock()
		_, _ = c.Write(welcome(7, "keys"))
		_, _ = c.Read(make([]byte, 1<<16))
	})
	return g
}

// Dial waits until the primary can be reached.
func (g *gatekept) Dial(ctx context.Context, wait time.Duration) (*relay.Upstream, error) {
	select {
	case <-g.open:
		return g.Dialer.Dial(ctx, wait)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// users returns those that came, in their order, each by the first letters of its user.
func (g *gatekept) users() (all []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, packet := range g.came {
		user, _, _ := strings.Cut(strings.TrimPrefix(packet, "user\x00"), "\x00")
		all = append(all, user)
	}
	return all
}

func user(name string) []byte { return startup(v30, "user", name) }

// waiting waits until so many log-ins wait for a place.
func (w *world) waiting(t *testing.T, n int) {
	t.Helper()
	pgtest.WaitFor(t, patience, fmt.Sprintf("%d log-ins to wait", n), func() (bool, error) {
		return w.Counts().Logins.Waiting == n, nil
	})
}

// TestTheLivingAreServedFirst: a client that has gone leaves the queue, so that the primary never hears of it. One
// that has ended its side behind something that may want an answer comes after all others.
func TestTheLivingAreServedFirst(t *testing.T) {
	const gone, living = 30, 5
	g := newGatekept(t)
	w := start(t, proxy.Options{Upstream: g, Limits: proxy.Limits{MaxLogins: 1}})
	first := dial(t, w.tcp(), user("first"))
	pgtest.WaitFor(t, patience, "the first", func() (bool, error) { return w.Counts().Logins.Running == 1, nil })
	var left []*client
	for i := range gone {
		c := dial(t, w.tcp(), user("gone"))
		if i%3 == 2 {
			_ = c.Conn.(*net.TCPConn).SetLinger(0)
		}
		left = append(left, c)
	}
	w.waiting(t, gone)
	terminate := append(user("ended"), 'X', 0, 0, 0, 4)
	ended := dial(t, w.tcp(), terminate)
	w.waiting(t, gone+1)
	for i, c := range left {
		if i%3 == 1 {
			_ = c.Conn.(*net.TCPConn).CloseWrite() // which is all that can be seen of a close, too
			continue
		}
		_ = c.Close()
	}
	_ = ended.Conn.(*net.TCPConn).CloseWrite()
	w.waiting(t, 1)
	var stay []*client
	for i := range living {
		stay = append(stay, dial(t, w.tcp(), user(fmt.Sprint("living", i))))
		w.waiting(t, 2+i)
	}
	close(g.open)
	for _, c := range append([]*client{first}, stay...) {
		c.expect('Z')
	}
	ended.expect('Z')
	want := []string{"first", "living0", "living1", "living2", "living3", "living4", "ended"}
	if got := g.users(); !slices.Equal(got, want) {
		t.Errorf("the primary saw %v, want %v", got, want)
	}
	if n := w.refusedFor(proxy.ReasonLogins); n != 0 {
		t.Errorf("%d were refused", n)
	}
}

// TestGoneWhileItWaitsForThePrimary: a client's end is noticed, and its place is free, in each wait before its first
// byte. Those are: while the primary is dialled, starts up, is silent after the startup packet, or thinks about an
// answer, and between AuthenticationOk and ReadyForQuery.
func TestGoneWhileItWaitsForThePrimary(t *testing.T) {
	type dialer func(t *testing.T, silence chan struct{}) proxy.Dialer
	says := func(what string, answer bool) dialer {
		return func(t *testing.T, silence chan struct{}) proxy.Dialer {
			return scripted(t, func(c net.Conn) {
				if _, err := readPacket(c); err != nil {
					return
				}
				_, _ = c.Write([]byte(what))
				if answer {
					_, _ = c.Read(make([]byte, 100))
				}
				if strings.Contains(what, "57P03") {
					return
				}
				// As a backend that is stuck it does not notice that its client has gone; it ends when the test lets it.
				<-silence
			})
		}
	}
	starting := "E\x00\x00\x00\x29SFATAL\x00VFATAL\x00C57P03\x00Mnot yet\x00\x00"
	starting = starting[:4] + string(rune(len(starting)-1)) + starting[5:]
	for _, tc := range []struct {
		name   string
		dialer dialer
		behind string // what the client says behind its startup packet
	}{
		{"dial", func(t *testing.T, _ chan struct{}) proxy.Dialer { return newGatekept(t) }, ""},
		{"starting up", says(starting, false), ""},
		{"silence", says("", false), ""},
		{"answered", says("R\x00\x00\x00\x08\x00\x00\x00\x03", true), "p\x00\x00\x00\x07pw\x00"},
		{"authenticated", says("R\x00\x00\x00\x08\x00\x00\x00\x00", false), ""},
	} {
		for _, reset := range []bool{false, true} {
			t.Run(fmt.Sprint(tc.name, " reset ", reset), func(t *testing.T) {
				t.Parallel()
				silence := make(chan struct{})
				defer close(silence)
				w := start(t, proxy.Options{Upstream: tc.dialer(t, silence), Limits: proxy.Limits{MaxLogins: 1},
					Access: rules(t, "host all all all trust"), ConnectWait: func() time.Duration { return time.Hour }})
				c := dial(t, w.tcp(), hello)
				switch tc.name {
				case "answered":
					c.expect('R')
					if _, err := c.Write([]byte(tc.behind)); err != nil {
						t.Fatal(err)
					}
				case "authenticated":
					c.expect('R')
				}
				pgtest.WaitFor(t, patience, "a log-in", func() (bool, error) {
					s := w.Sessions()
					return len(s) == 1 && (tc.name == "dial" || s[0].Upstream != ""), nil
				})
				if reset {
					_ = c.Conn.(*net.TCPConn).SetLinger(0)
				}
				_ = c.Close()
				pgtest.WaitFor(t, patience, "its place", func() (bool, error) { return w.Counts().Logins.Running == 0, nil })
			})
		}
	}
}

// TestSlowDatabase: log-ins to one database that the primary does not finish, with and without a question, keep nobody
// out of another one. That holds when they are more than limits.max_logins and come from the same address. They get in
// when they can.
func TestSlowDatabase(t *testing.T) {
	const stuck, limit = 40, 8
	for _, method := range []string{"trust", "scram"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			var options []pgtest.Option
			if method == "scram" {
				options = append(options, pgtest.SCRAM("secret"))
			}
			s := pgtest.Need(t, 15).Primary(t, options...)
			s.Exec(t, "CREATE DATABASE slow")
			holder, err := pgconn.Connect(t.Context(), s.SocketConninfo()+" dbname=slow")
			if err != nil {
				t.Fatal(err)
			}
			defer holder.Close(context.Background())
			run := func(sql string) {
				if _, err := holder.Exec(t.Context(), sql).ReadAll(); err != nil {
					t.Fatal(err)
				}
			}
			run("BEGIN; LOCK pg_catalog.pg_class IN ACCESS EXCLUSIVE MODE")
			w := start(t, proxy.Options{Upstream: tcpTo(s), Limits: proxy.Limits{MaxLogins: limit},
				Access: rules(t, "host all all all "+map[string]string{"trust": "trust", "scram": "relay"}[method])})
			in := make(chan error, stuck)
			for range stuck {
				go func() {
					c, err := pgconn.Connect(t.Context(), w.conninfo("dbname=slow", "password=secret"))
					if err == nil {
						err = c.Close(context.Background())
					}
					in <- err
				}()
			}
			pgtest.WaitFor(t, patience, "all to be on their way", func() (bool, error) {
				l := w.Counts().Logins
				return l.Running+l.Answered+l.Waiting == stuck && l.Answered >= limit, nil
			})
			for range 3 {
				if _, err := pgtest.Query(t.Context(), w.conninfo("password=secret", "connect_timeout=30"), "SELECT 1"); err != nil {
					t.Fatalf("another database: %v", err)
				}
			}
			if l := w.Counts().Logins; l.Running+l.Answered > 3*limit {
				t.Errorf("%+v: the primary has more than is bounded", l)
			}
			run("COMMIT")
			for range stuck {
				if err := <-in; err != nil {
					t.Fatalf("the slow database: %v", err)
				}
			}
			pgtest.WaitFor(t, patience, "an empty gate", func() (bool, error) {
				l := w.Counts().Logins
				return l.Running+l.Answered+l.Waiting == 0, nil
			})
		})
	}
}

// askedFor are roles for whose answer one waits as long as it takes.
type askedFor struct {
	proxy.Roles
	asked, ended chan struct{}
}

func (a *askedFor) Find(ctx context.Context, _ string) roles.Found {
	close(a.asked)
	<-ctx.Done()
	close(a.ended)
	return roles.Found{}
}

func (a *askedFor) Mock(string) scramauth.Verifier { return scramauth.Verifier{} }

// TestGoneWhileItsRoleIsAskedFor: where the client is verified here its end is noticed before it has been asked.
func TestGoneWhileItsRoleIsAskedFor(t *testing.T) {
	a := &askedFor{asked: make(chan struct{}), ended: make(chan struct{})}
	w := start(t, proxy.Options{Upstream: scripted(t, greeting), Roles: a})
	c := dial(t, w.tcp(), hello)
	<-a.asked
	_ = c.Close()
	<-a.ended
	pgtest.WaitFor(t, patience, "its session's end", func() (bool, error) { return len(w.Sessions()) == 0, nil })
}
