package physical_test

import (
	"context"
	"log/slog"
	"math"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/fanout"
	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/fanout/walsource"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/access"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/knownwal"
	"github.com/replproxy/replproxy/proxy"
	"github.com/replproxy/replproxy/proxy/gate"
	"github.com/replproxy/replproxy/proxy/physical"
	"github.com/replproxy/replproxy/proxy/relay"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// world is a whole proxy within the test process, in front of a real primary.
type world struct {
	primary  *pgtest.Server
	store    *walstore.Store
	receiver *walsource.Supply
	hub      *fanout.Hub
	gate     *gate.Gate
	server   *proxy.Server
	addr     *net.TCPAddr

	startReceiver func()
	stopServer    func() // drains; also done at the test's end
}

type worldOptions struct {
	upstream    string // conninfo; default: the primary's
	authTimeout time.Duration
	idleKeep    time.Duration
	maxLogins   int
	access      []string // rules
	connectWait time.Duration
	noReceiver  bool // leave the walreceiver's start to the test: world.startReceiver
}

// unruled is the quorum of a proxy without a rule (ruling R24).
type unruled struct{}

func (unruled) Reportable() (lsn.Progress, bool) {
	return lsn.Progress{Write: math.MaxUint64, Flush: math.MaxUint64}, false
}

func (unruled) Changed() <-chan struct{} { return nil }

// noWord is an operator who says nothing.
type noWord struct{}

func (noWord) Accepted(*walsource.LackError) bool                          { return false }
func (noWord) Waits(lsn.TimelineID, []*walsource.LackError)                {}
func (noWord) Refused() []*walsource.LackError                             { return nil }
func (noWord) Use(*walsource.LackError, []lsn.LSN, *walsource.Aside) error { return nil }
func (noWord) GivenUp(lsn.Point) bool                                      { return false }

func newWorld(t *testing.T, primary *pgtest.Server, o worldOptions) *world {
	t.Helper()
	if o.upstream == "" {
		o.upstream = primary.Conninfo()
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	config, err := upstream.Parse(o.upstream)
	must(t, err)
	w := &world{primary: primary, gate: physical.NewGate(o.maxLogins)}
	dir := t.TempDir()
	w.store, err = walstore.Open(t.Context(), walstore.Options{Dir: dir, Logger: log})
	must(t, err)
	slots, err := slot.Open(filepath.Join(dir, "slots"), slot.Options{})
	must(t, err)
	w.hub = fanout.New(fanout.Options{Store: w.store, Slots: slots, Logger: log})
	w.receiver, err = walsource.New(walsource.Options{
		Upstream: config, Name: "proxy_a", Store: w.store, Logins: w.gate, Accept: noWord{},
		Via:         walsource.NewLadder(),
		GiveUp:      func(*walsource.LackError, bool) error { return nil },
		Others:      func() ([]knownwal.Known, knownwal.Unheard) { return nil, knownwal.Unheard{} },
		Leaves:      func(lsn.TimelineID) error { return nil },
		Ask:         func(context.Context) {},
		Hears:       func(string) bool { return false },
		Restore:     func(context.Context, lsn.LSN) (int, error) { return 0, nil },
		Begins:      func(string, bool, lsn.TimelineID) (bool, error) { return false, nil },
		EndSessions: w.hub.EndSessions,
		Leaving:     func() walsource.Leaving { return walsource.LeaveWarn },
		EndRelayed:  func(upstream.Endpoint) int { return 0 },
		Options:     walreceiver.Options{Slot: "proxy_a", Quorum: unruled{}, Logger: log},
	})
	must(t, err)
	w.store.OnMoved(w.receiver.Reporter())
	handler, err := physical.New(physical.Options{
		Hub: w.hub, Upstream: dialer(config), Gate: w.gate, Logger: log,
		Settings:              func() map[string]string { return w.receiver.Status().Settings },
		AuthenticationTimeout: o.authTimeout, IdleKeep: o.idleKeep,
		ConnectWait: func() time.Duration { return o.connectWait },
	})
	must(t, err)
	listeners, err := proxy.Listen(t.Context(), []string{"127.0.0.1:0"})
	must(t, err)
	w.addr = listeners[0].Addr().(*net.TCPAddr)
	if o.access == nil {
		o.access = pgtest.TrustLoopback()
	}
	rules, err := access.Parse(o.access)
	must(t, err)
	admit := &access.Current{}
	admit.Set(access.Set{Default: access.Policy{Rules: rules}})
	w.server, err = proxy.New(proxy.Options{
		Access:    admit,
		Listeners: listeners, Upstream: dialer(config), Physical: handler, Database: handler, Logger: log,
		AuthenticationTimeout: o.authTimeout, PhysicalGrace: 10 * time.Second, DrainGrace: time.Second,
	})
	must(t, err)
	w.run(t, o)
	return w
}

// run starts everything and stops it at the test's end in the order of a shutdown.
func (w *world) run(t *testing.T, o worldOptions) {
	stopStore := background(t, "store", w.store.Run)
	stopHub := background(t, "hub", w.hub.Run)
	stopReceiver := func() {}
	w.startReceiver = func() { stopReceiver = background(t, "walreceiver", w.receiver.Run) }
	if !o.noReceiver {
		w.startReceiver()
	}
	w.stopServer = background(t, "server", w.server.Run)
	t.Cleanup(func() {
		stopReceiver()
		w.stopServer()
		stopHub()
		stopStore()
		if err := w.store.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	if !o.noReceiver {
		w.waitStreaming(t)
	}
}

func (w *world) waitStreaming(t *testing.T) {
	t.Helper()
	pgtest.WaitFor(t, readTimeout, "the walreceiver to stream", func() (bool, error) {
		_, err := w.hub.Identify()
		return err == nil && w.receiver.Status().State == walreceiver.Streaming, nil
	})
}

// conninfo is the proxy's, with the primary's password.
func (w *world) conninfo(extra ...string) string {
	words := []string{"host=127.0.0.1", "port=" + strconv.Itoa(w.addr.Port), "user=postgres", "dbname=postgres",
		"sslmode=disable"}
	if w.primary.Password != "" {
		words = append(words, "password="+w.primary.Password)
	}
	return strings.Join(append(words, extra...), " ")
}

// background runs f until stop is called (again is harmless) and fails the test if it fails.
func background(t *testing.T, what string, f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := f(ctx); err != nil && ctx.Err() == nil {
			t.Errorf("%s ended: %v", what, err)
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

func dialer(config *upstream.Config) proxy.Dialer {
	return proxy.DialerFunc(func(ctx context.Context, _ time.Duration) (*relay.Upstream, error) {
		c, err := config.DialRaw(ctx)
		if err != nil {
			return nil, err
		}
		return &relay.Upstream{
			Conn: c.Conn, TLS: c.TLS, Name: c.Endpoint.String(),
			Cancel: func(ctx context.Context, raw []byte) error { return config.Cancel(ctx, c.Endpoint, raw) },
		}, nil
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
