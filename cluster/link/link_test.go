package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/replproxy/replproxy/cluster/identity"
	"github.com/replproxy/replproxy/cluster/identity/identitytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const longWait = 30 * time.Second

// book is a Sink that remembers.
type book struct {
	mu        sync.Mutex
	items     map[string]map[ID]string
	up        map[string]bool
	conflicts int
	version   int    // of the last peer that was up
	refuse    string // payload that is an error
	changed   chan struct{}
}

func newBook() *book {
	return &book{items: map[string]map[ID]string{}, up: map[string]bool{}, changed: make(chan struct{}, 1)}
}

func (b *book) edit(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

func (b *book) Up(peer string, v int) {
	b.edit(func() { b.up[peer] = true; b.version = v })
}
func (b *book) Down(peer string) { b.edit(func() { b.up[peer] = false }) }
func (b *book) Heard(string)     {}
func (b *book) Conflict(peer string) {
	b.edit(func() { b.conflicts++; delete(b.items, peer) })
}
func (b *book) Gone(peer string, id ID) { b.edit(func() { delete(b.items[peer], id) }) }
func (b *book) Item(peer string, _ int, id ID, payload []byte) error {
	if b.refuse != "" && string(payload) == b.refuse {
		return errors.New("no such thing")
	}
	b.edit(func() {
		if b.items[peer] == nil {
			b.items[peer] = map[ID]string{}
		}
		b.items[peer][id] = string(payload)
	})
	return nil
}

// wait waits until the book satisfies ok.
func (b *book) wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(longWait)
	for {
		b.mu.Lock()
		done := ok()
		b.mu.Unlock()
		if done {
			return
		}
		select {
		case <-b.changed:
		case <-deadline:
			b.mu.Lock()
			defer b.mu.Unlock()
			t.Fatalf("no %s: %v, up %v, %d conflicts", what, b.items, b.up, b.conflicts)
		}
	}
}

// phone is a Directory that a test edits.
type phone struct {
	mu      sync.Mutex
	live    []Peer
	changed chan struct{}
}

func (p *phone) Live() []Peer             { p.mu.Lock(); defer p.mu.Unlock(); return p.live }
func (p *phone) Changed() <-chan struct{} { return p.changed }
func (p *phone) set(live ...Peer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.live = live
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// proxy is one end.
type proxy struct {
	*Link
	phone *phone
	book  *book
	stop  context.CancelFunc
	addr  string
	done  sync.WaitGroup
}

func start(t *testing.T, n *identity.Node, m *identity.Members) *proxy {
	t.Helper()
	return startOf(t, n, m, Newest)
}

// startOf is a proxy that speaks no version above newest.
func startOf(t *testing.T, n *identity.Node, m *identity.Members, newest int) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log := identitytest.Logger(t).With("node", n.Name)
	p := &proxy{phone: &phone{changed: make(chan struct{}, 1)}, book: newBook(), addr: l.Addr().String()}
	listener := NewListener(l, n, m, log)
	p.Link = New(Options{
		Node: n, Members: m, Listener: listener, Directory: p.phone, Outbox: NewOutbox(), Sink: p.book, Logger: log,
		Version: newest,
	})
	ctx, cancel := context.WithCancel(context.Background())
	p.stop = func() { cancel(); p.done.Wait() }
	p.done.Go(func() { _ = listener.Run(ctx) })
	p.done.Go(func() { _ = p.Run(ctx) })
	t.Cleanup(p.stop)
	return p
}

// appending encodes an item.
func appending(s string) func([]byte) ([]byte, error) {
	return func(b []byte) ([]byte, error) { return append(b, s...), nil }
}

func (p *proxy) put(t *testing.T, kind byte, num uint64, s string) {
	t.Helper()
	if err := p.Outbox.Put(ID{kind, num}, appending(s)); err != nil {
		t.Fatal(err)
	}
}

func (p *proxy) peer() Peer { return Peer{p.Node.Name, p.addr} }

// Items go both ways, deletions too, also those that happened while nobody was connected.
func TestExchange(t *testing.T) {
	na, nb := identitytest.Node(t, "proxy_a"), identitytest.Node(t, "proxy_b")
	m := identitytest.Members(t, na, nb)
	a, b := start(t, na, m), start(t, nb, m)
	a.put(t, 1, 7, "before")
	a.put(t, 1, 8, "stays")
	a.phone.set(b.peer())
	b.phone.set(a.peer())
	b.book.wait(t, "first item", func() bool { return b.book.items["proxy_a"][ID{1, 7}] == "before" })
	a.put(t, 1, 7, "after")
	b.put(t, 2, 1, "from b")
	b.book.wait(t, "change", func() bool { return b.book.items["proxy_a"][ID{1, 7}] == "after" })
	a.book.wait(t, "item of b", func() bool { return a.book.items["proxy_b"][ID{2, 1}] == "from b" })

	a.phone.set() // b is gone, as gossip has it
	b.book.wait(t, "end", func() bool { return !b.book.up["proxy_a"] })
	if got := b.book.items["proxy_a"][ID{1, 7}]; got != "after" {
		t.Errorf("what a said is %q although it only went silent", got)
	}
	for until := time.Now().Add(longWait); a.Status().Peers[0].LastError == "" && time.Now().Before(until); {
		runtime.Gosched() // the sender says it when it ends, a moment after its connection
	}
	if p := a.Status().Peers[0]; p.Addr != "" || p.Sending || p.LastAddr != b.addr || p.LastError == "" || p.Last.IsZero() {
		t.Errorf("of one that is gone it is shown %+v", p)
	}
	a.Outbox.Delete(ID{1, 7})
	a.phone.set(b.peer())
	b.book.wait(t, "deletion", func() bool { return len(b.book.items["proxy_a"]) == 1 })
	a.Outbox.Delete(ID{1, 8})
	b.book.wait(t, "second deletion", func() bool { return len(b.book.items["proxy_a"]) == 0 })
	if st := a.Status(); len(st.Peers) != 1 || !st.Peers[0].Sending || st.Peers[0].Heard.IsZero() {
		t.Errorf("status %+v", st)
	}
}

// A proxy that was not configured is refused by those that were, and nothing of it is heard.
func TestStranger(t *testing.T) {
	na, nb, nx := identitytest.Node(t, "proxy_a"), identitytest.Node(t, "proxy_b"), identitytest.Node(t, "proxy_a")
	a, x := start(t, nb, identitytest.Members(t, na, nb)), start(t, nx, identitytest.Members(t, nx, nb))
	x.put(t, 1, 1, "I am proxy_a")
	x.phone.set(a.peer())
	deadline := time.After(longWait)
	for a.Status().Refused == 0 {
		select {
		case <-deadline:
			t.Fatal("nothing was refused")
		case <-time.After(10 * time.Millisecond):
		}
	}
	if len(a.book.items) != 0 {
		t.Errorf("heard %v", a.book.items)
	}
}

// Two processes with one key: neither is heard until one is gone.
func TestClash(t *testing.T) {
	t.Parallel()
	na, nb := identitytest.Node(t, "proxy_a"), identitytest.Node(t, "proxy_b")
	m := identitytest.Members(t, na, nb)
	b := start(t, nb, m)
	first, second := start(t, na, m), start(t, na, m)
	first.put(t, 1, 1, "first")
	second.put(t, 1, 1, "second")
	first.phone.set(b.peer())
	b.book.wait(t, "first", func() bool { return b.book.items["proxy_a"][ID{1, 1}] == "first" })
	second.phone.set(b.peer())
	b.book.wait(t, "conflict", func() bool { return b.book.conflicts > 0 && len(b.book.items["proxy_a"]) == 0 })
	first.stop()
	b.book.wait(t, "second alone", func() bool { return b.book.items["proxy_a"][ID{1, 1}] == "second" })
}

// What a Sink does not understand ends the connection and is counted; the next one is tried.
func TestGarbledItem(t *testing.T) {
	na, nb := identitytest.Node(t, "proxy_a"), identitytest.Node(t, "proxy_b")
	m := identitytest.Members(t, na, nb)
	a, b := start(t, na, m), start(t, nb, m)
	b.book.refuse = "nonsense"
	a.put(t, 1, 1, "nonsense")
	a.phone.set(b.peer())
	deadline := time.After(longWait)
	for b.Status().Garbled == 0 {
		select {
		case <-deadline:
			t.Fatal("nothing was garbled")
		case <-time.After(10 * time.Millisecond):
		}
	}
	a.put(t, 1, 1, "sense")
	b.book.wait(t, "sense", func() bool { return b.book.items["proxy_a"][ID{1, 1}] == "sense" })
}

func TestOutbox(t *testing.T) {
	o := NewOutbox()
	put := func(num uint64, s string) {
		t.Helper()
		if err := o.Put(ID{1, num}, appending(s)); err != nil {
			t.Fatal(err)
		}
	}
	types := func(b []byte) string {
		t.Helper()
		s, r := "", &reader{r: strings.NewReader(string(b)), version: Newest}
		for {
			f, err := r.next()
			if err != nil {
				return s
			}
			s += string(f.typ)
		}
	}
	if b, at := o.collect(nil, 0, Newest); types(b) != "BE" || at == 0 {
		t.Errorf("empty: %q, version %d", types(b), at)
	}
	_, at := o.collect(nil, 0, Newest)
	put(1, "a")
	if b, _ := o.collect(nil, at, Newest); types(b) != "I" {
		t.Errorf("the first item after an empty snapshot: %q", types(b))
	}
	b, at := o.collect(nil, 0, Newest)
	if got := types(b); got != "BIE" {
		t.Errorf("first %q", got)
	}
	if b, _ := o.collect(nil, at, Newest); len(b) != 0 {
		t.Errorf("nothing new is %q", types(b))
	}
	for i := range 100 { // the newest only
		put(2, fmt.Sprint(i))
	}
	o.Delete(ID{1, 1})
	b, next := o.collect(nil, at, Newest)
	if got := types(b); got != "DI" || !strings.HasSuffix(string(b), "99") {
		t.Errorf("changes %q", got)
	}
	for i := range uint64(maxTombstones + 10) {
		put(1000+i, "x")
		o.Delete(ID{1, 1000 + i})
	}
	b, _ = o.collect(nil, next, Newest)
	if got := types(b); got != "BIE" {
		t.Errorf("after too many deletions %q", got)
	}
	if err := o.Put(ID{1, 2}, appending(strings.Repeat("x", MaxPayload+1))); !errors.Is(err, ErrTooMuch) {
		t.Errorf("too long: %v", err)
	}
	if b, _ := o.collect(nil, 0, Newest); types(b) != "BE" {
		t.Errorf("an item whose newest state is too long still stands: %q", types(b))
	}
	put(2, "again")
	failed := errors.New("outside the bounds")
	err := o.Put(ID{1, 2}, func(b []byte) ([]byte, error) { return append(b, "half"...), failed })
	if b, _ := o.collect(nil, 0, Newest); !errors.Is(err, failed) || types(b) != "BE" {
		t.Errorf("an item that can't be encoded still stands: %q, %v", types(b), err)
	}
	whole := appending(strings.Repeat("x", MaxPayload))
	for i := range uint64(MaxBytes / MaxPayload) {
		if err := o.Put(ID{3, i}, whole); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.Put(ID{3, 99}, appending("x")); !errors.Is(err, ErrTooMuch) {
		t.Errorf("too many bytes: %v", err)
	}
	for i := range uint64(MaxBytes / MaxPayload) {
		o.Delete(ID{3, i})
	}
	for i := range uint64(MaxItems) {
		put(i, "")
	}
	if err := o.Put(ID{2, 0}, appending("")); !errors.Is(err, ErrTooMuch) {
		t.Errorf("too many: %v", err)
	}
}

func TestNameRegistry(t *testing.T) {
	now := time.Unix(1, 0)
	r := nameRegistry{map[string]*nameHolder{}}
	check := func(what string, got, want admission) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	check("first", r.arrive(now, "a", 1, 1), admitted)
	check("speaks", r.speak(now, "a", 1), admitted)
	check("same run again", r.arrive(now, "a", 1, 2), admitted)
	check("old connection", r.speak(now, "a", 1), replaced)
	if r.leave("a", 1, 1) {
		t.Error("the old connection's end silenced the peer")
	}
	check("other run", r.arrive(now, "a", 2, 3), wait)
	check("still other", r.arrive(now, "a", 2, 3), wait)
	r.leave("a", 1, 2)
	check("first is gone", r.arrive(now, "a", 2, 3), admitted)
	check("returns", r.arrive(now, "a", 1, 4), wait)
	check("both alive", r.speak(now, "a", 3), conflict)
	r.leave("a", 2, 3)
	check("held", r.arrive(now, "a", 1, 5), conflict)
	now = now.Add(conflictHold - 1)
	check("the other too", r.arrive(now, "a", 2, 6), conflict)
	now = now.Add(conflictHold - 1)
	check("held again", r.arrive(now, "a", 2, 7), conflict)
	now = now.Add(1)
	check("one only for long enough", r.arrive(now, "a", 2, 8), admitted)
}
