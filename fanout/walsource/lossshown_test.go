package walsource

import (
	"errors"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// setBack is a Supply that has streamed from one of several hosts, and that host, which has lost WAL since.
func setBack(t *testing.T, word *wordOf) (*Supply, *directory, server, startPoint) {
	t.Helper()
	up, err := upstream.Parse("host=127.0.0.1,127.0.0.1 port=1,2 user=u sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = 5 * fakeSeg, 5*fakeSeg + 0x900
	m := newMemStore()
	m.id = walstore.Identity{System: 7, SegSize: lsn.SegSize(fakeSeg), ServerMajor: 15}
	m.pos = walstore.Positions{Timeline: 1, Oldest: begin, Received: end, Written: end, Flushed: end, Complete: end}
	r := with(t, Options{Upstream: up, Store: m, Accept: word})
	r.avoid, r.refusals = map[string]error{}, map[string]string{}
	host := &directory{path: t.TempDir(), system: 7, end: end + 0x4000, interrupted: make(chan struct{})}
	srv := newServer(host)
	srv.system, srv.timeline, srv.xlogpos, srv.history = 7, 1, host.end, lsn.History{Timeline: 1}
	srv.known = r.knowledge()
	return r, host, srv, startPoint{1, begin}
}

// refused returns why the election leaves a host out.
func refused(t *testing.T, r *Supply, host Conn) error {
	t.Helper()
	b := r.grounds()
	best, refusals := elect(b, []candidate{r.ask(t.Context(), host, b.known)})
	if best >= 0 {
		t.Fatal("it is elected")
	}
	return refusals[0]
}

// TestLossIsShownAtEachAttempt: one of several hosts was found to have lost WAL while the proxy ran. It is refused for
// that loss, with the advice, also by the elections in which it is left out.
func TestLossIsShownAtEachAttempt(t *testing.T) {
	r, host, srv, p := setBack(t, &wordOf{})
	diverged := &walstore.DivergedError{Timeline: 1, LSN: p.at + 0x30}
	for what, err := range map[string]error{
		"the stream":   r.copyFailed(t.Context(), diverged, host, srv, p),
		"the election": refused(t, r, host),
	} {
		var e *LackError
		if !errors.As(err, &e) || !e.Lost || !strings.Contains(pgerror.Describe(err), "accept-timeline 1") {
			t.Errorf("%s: %s", what, pgerror.Describe(err))
		}
	}
}

// TestAcceptedLossAsksForTheRestart: once a loss is accepted that this proxy's own store has, no refusal advises to accept
// it. Each says that the restart is what is left, whether bytes or the position told.
func TestAcceptedLossAsksForTheRestart(t *testing.T) {
	word := &wordOf{}
	r, host, srv, p := setBack(t, word)
	diverged := &walstore.DivergedError{Timeline: 1, LSN: p.at + 0x30}
	judged := func() error {
		shorter := srv
		shorter.xlogpos, shorter.known = p.at+0x100, r.knowledge()
		return r.judge(r.o.Store.Positions(), shorter)
	}
	has := &directory{path: host.path, system: 7, end: p.at + 0x100, interrupted: make(chan struct{})}
	elected := func() error {
		clear(r.avoid)
		return refused(t, r, has)
	}
	differs := func() error { return r.copyFailed(t.Context(), diverged, host, srv, p) }
	for _, first := range []func() error{differs, judged} {
		r.aside.Store(0)
		word.say(1)
		for i, err := range []error{first(), differs(), refused(t, r, host), judged(), elected()} {
			text := pgerror.Describe(err)
			if !errors.As(err, new(*LackError)) || strings.Contains(text, "accept-timeline") || !strings.Contains(text, "restart the proxy") {
				t.Errorf("%d: %s", i, text)
			}
		}
	}
}

// TestAdviceIsAboutTheRefused: of several hosts the one that has lost WAL is to be stopped. The advice stands behind its
// name, not behind that of a standby which is to be promoted.
func TestAdviceIsAboutTheRefused(t *testing.T) {
	e := &LackError{Timeline: 1, From: 16, To: 32, Of: 1, Lost: true}
	standby := &upstream.ConnectError{Attempts: []upstream.Attempt{{Endpoint: upstream.Endpoint{Host: "db2", Port: 5432}, Err: upstream.ErrStandby}}}
	text := pgerror.Describe(errPermanent{besideOthers(hostRefused("db1:5432", e.refusal(words{})), standby)})
	refused, other, _ := strings.Cut(text, "; connection to server at ")
	if !strings.HasPrefix(refused, "upstream host db1:5432 is refused: ") || !strings.Contains(refused, "HINT: Stop it") ||
		!strings.Contains(other, "db2") || strings.Contains(other, "HINT") {
		t.Errorf("%s", text)
	}
}
