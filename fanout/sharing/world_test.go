package sharing

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/fanout/slot/shared"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait.
const patience = time.Minute

var errUnreachable = errors.New("no way there")

// world is a few members over loopback.
type world struct {
	t    *testing.T
	all  map[string]*proxy
	stop []func()

	mu     sync.Mutex
	cut    map[string]bool // "a>b": a does not reach b
	silent map[string]bool // hears nothing of it either

	forgotten []string
}

// proxy is a member of a world: a Members, and what listens for the others.
type proxy struct {
	w       *world
	name    string
	slots   *slot.Table
	sharing *Sharing
	l       net.Listener
	newest  byte // message version: the first member of a world speaks the oldest only, so all tests mix them
}

func newWorld(t *testing.T, names ...string) *world {
	return newWorldThat(t, time.Nanosecond, names...)
}

func newWorldThat(t *testing.T, introduction time.Duration, names ...string) *world {
	return newWorldOf(t, introduction, slot.DefaultMax, names...)
}

// newWorldOf is a world whose members may have most slots each.
func newWorldOf(t *testing.T, introduction time.Duration, most int, names ...string) *world {
	dir := t.TempDir() // is removed after everything has ended
	w := &world{t: t, all: map[string]*proxy{}, cut: map[string]bool{}, silent: map[string]bool{}}
	t.Cleanup(func() {
		for _, stop := range slices.Backward(w.stop) {
			stop()
		}
	})
	for _, name := range names {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		w.must(err)
		w.all[name] = &proxy{w: w, name: name, l: l, newest: shared.Newest}
	}
	w.all[names[0]].newest = shared.Oldest
	for _, m := range w.all {
		table, err := slot.Open(filepath.Join(dir, m.name), slot.Options{Node: m.name, Max: most})
		w.must(err)
		m.slots = table
		m.sharing = New(Options{
			Slots: table, Members: m, Keeps: func(slot.Info) bool { return true }, Heard: func() {},
			Introduction: introduction,
			Logger:       slog.New(slog.DiscardHandler),
		})
		w.run(m.serve)
	}
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) run(f func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); f(ctx) }()
	w.stop = append(w.stop, func() { cancel(); <-done })
}

// serve hears from the first bytes of each connection who calls and in which version, as a listener knows by TLS.
func (m *proxy) serve(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer context.AfterFunc(ctx, func() { _ = m.l.Close() })()
	for {
		conn, err := m.l.Accept()
		if err != nil {
			return
		}
		wg.Go(func() {
			head := make([]byte, 2)
			if _, err := io.ReadFull(conn, head); err != nil {
				_ = conn.Close()
				return
			}
			m.sharing.Serve(ctx, string(head[:1]), protocolPrefix+string(head[1:]), conn)
		})
	}
}

func (m *proxy) Names() (names []string) {
	for name := range m.w.all {
		if name != m.name {
			names = append(names, name)
		}
	}
	return names
}

func (m *proxy) Up(string) bool { return true }

func (m *proxy) Forgotten() []string {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	return m.w.forgotten
}

func (m *proxy) Hears(name string) bool {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	return !m.w.silent[m.name+">"+name]
}

func (m *proxy) Open(ctx context.Context, name string, protocols ...string) (net.Conn, string, error) {
	m.w.mu.Lock()
	cut := m.w.cut[m.name+">"+name]
	m.w.mu.Unlock()
	protocol := protocolPrefix + strconv.Itoa(int(min(m.newest, m.w.all[name].newest)))
	if cut || !slices.Contains(protocols, protocol) {
		return nil, "", errUnreachable
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", m.w.all[name].l.Addr().String())
	if err == nil {
		_, err = conn.Write([]byte(m.name + strings.TrimPrefix(protocol, protocolPrefix)))
	}
	return conn, protocol, err
}

// part cuts a member off, or brings it back; noticed: the others know.
func (w *world) part(name string, away, noticed bool) {
	w.mu.Lock()
	for other := range w.all {
		for _, way := range []string{name + ">" + other, other + ">" + name} {
			w.cut[way], w.silent[way] = away, away && noticed
		}
	}
	w.mu.Unlock()
	if !away {
		return
	}
	for from, m := range w.all {
		for to, other := range m.sharing.members {
			if from == name || to == name {
				other.close()
			}
		}
	}
}

func (w *world) forgets(names ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forgotten = names
}

func (w *world) waitFor(what string, ok func() bool) {
	w.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			w.t.Fatalf("timed out waiting for %s", what)
		}
	}
}

func (w *world) runAll() {
	for _, m := range w.all {
		w.run(func(ctx context.Context) { _ = m.sharing.Run(ctx) })
	}
}

func (m *proxy) create(name string) error {
	claim, err := m.sharing.Claim(m.w.t.Context(), shared.Create, name, "", 1)
	if err == nil {
		err = m.slots.Create(claim, slot.Seed{Restart: 100}, 1)
	}
	m.sharing.Told(m.w.t.Context(), name)
	return err
}

func (m *proxy) attach(name string, pid int32) (*slot.Guard, error) {
	claim, err := m.sharing.Claim(m.w.t.Context(), shared.Attach, name, "", pid)
	if err != nil {
		return nil, err
	}
	return m.slots.Acquire(claim, pid)
}

func (m *proxy) drop(name string) error {
	claim, err := m.sharing.Claim(m.w.t.Context(), shared.Drop, name, "", 9)
	if err == nil {
		err = m.slots.Drop(claim, 9)
	}
	m.sharing.Told(m.w.t.Context(), name)
	return err
}

func wantCode(t *testing.T, err error, code pgerror.Code, text string) {
	t.Helper()
	var e *pgerror.Error
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Message, text) {
		t.Errorf("%v, expected %s %s", err, code, text)
	}
}
