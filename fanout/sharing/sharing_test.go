package sharing

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/fanout/slot/shared"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// One namespace: a name is taken everywhere at once, a session refuses others wherever they ask, what it
// reports arrives, and a drop is a drop.
func TestOneNamespace(t *testing.T) {
	w := newWorld(t, "a", "b", "c")
	a, b, c := w.all["a"], w.all["b"], w.all["c"]
	w.must(a.create("x"))
	wantCode(t, b.create("x"), pgerror.DuplicateObject, `"x" already exists`)
	if s, ok := c.slots.Read("x"); !ok || s.Restart != 100 || s.Owner != "a" || !s.Foreign {
		t.Errorf("at c: %+v", s)
	}
	g, err := b.attach("x", 7)
	w.must(err)
	for _, m := range w.all {
		_, err := m.attach("x", 8)
		wantCode(t, err, pgerror.ObjectInUse, "is active for PID 7")
		wantCode(t, m.drop("x"), pgerror.ObjectInUse, "is active for PID 7")
	}
	w.runAll()
	g.Confirm(500)
	g.SetXmin(3, 4)
	w.waitFor("what the session says to arrive", func() bool {
		s, _ := c.slots.Read("x")
		return s.Restart == 500 && s.Xmin == 3 && s.CatalogXmin == 4 && s.Owner == "b" && s.ActivePID == 7
	})
	w.waitFor("all to keep it", func() bool { return slices.Equal(a.sharing.KeptBy("x"), []string{"b", "c"}) })
	g.Release()
	w.waitFor("a drop from elsewhere", func() bool { return c.drop("x") == nil })
	for _, m := range w.all {
		if s, ok := m.slots.Read("x"); ok {
			t.Errorf("%s has %+v", m.name, s)
		}
	}
	w.waitFor("all to confirm the drop", func() bool { return len(c.sharing.Dropped()) == 0 })
	w.must(b.create("x"))
}

// A member that is cut off: its slots can be used once it is not heard. When it is back it learns their new state, and
// ends its own session where another one lives.
func TestTakeoverAndReturn(t *testing.T) {
	w := newWorld(t, "a", "b", "c")
	a, b, c := w.all["a"], w.all["b"], w.all["c"]
	w.runAll()
	for _, name := range []string{"x", "y", "z"} {
		w.must(a.create(name))
	}
	old, err := a.attach("x", 7)
	w.must(err)
	evicted := make(chan struct{})
	old.OnLost(func() { close(evicted) })
	w.waitFor("b to know the session", func() bool { s, _ := b.slots.Read("x"); return s.ActivePID == 7 })

	w.part("a", true, false)
	_, err = b.attach("x", 8)
	wantCode(t, err, pgerror.ObjectInUse, "is active for PID 7") // a is heard: it may live
	w.part("a", true, true)
	g, err := b.attach("x", 9)
	w.must(err)
	w.must(c.drop("y"))
	w.must(a.drop("z")) // nobody hears that
	if names := c.sharing.Dropped(); !slices.Equal(names, []string{"y"}) {
		t.Errorf("not confirmed: %v", names)
	}
	if names := b.sharing.Unconfirmed("x"); !slices.Equal(names, []string{"a"}) {
		t.Errorf("x is not confirmed by %v", names)
	}
	w.forgets("a")
	if names := b.sharing.Unconfirmed("x"); len(names) != 0 {
		t.Errorf("x is not confirmed by %v, which is gone", names)
	}
	w.forgets()
	w.part("a", false, false)
	<-evicted
	w.waitFor("all to know the same", func() bool {
		return slices.Equal(a.slots.Shared(), b.slots.Shared()) && slices.Equal(b.slots.Shared(), c.slots.Shared())
	})
	old.Confirm(1 << 40) // what is left of the old session moves nothing
	if s, _ := a.slots.Read("x"); s.Owner != "b" || s.ActivePID != 9 || s.Restart != 100 || len(a.slots.List()) != 1 {
		t.Errorf("at a: %+v", a.slots.List())
	}
	g.Release()
}

// A member that has just started, with an old state on its disk, waits until it was reached by the others: a
// session that lives there is not gone around.
func TestStartsWithOldState(t *testing.T) {
	w := newWorldThat(t, patience, "a", "b")
	a, b := w.all["a"], w.all["b"]
	w.part("a", true, true)
	made, _, err := a.slots.Propose(shared.Create, "x", 1)
	w.must(err)
	w.must(a.slots.Create(made, slot.Seed{Restart: 50}, 1))
	b.slots.Meet(a.slots.Known("x"))
	claim, _, err := b.slots.Propose(shared.Attach, "x", 7)
	w.must(err)
	g, err := b.slots.Acquire(claim, 7)
	w.must(err)
	g.Confirm(900)
	asked := make(chan error, 1)
	go func() {
		_, err := a.attach("x", 8)
		asked <- err
	}()
	w.part("a", false, false)
	w.runAll()
	wantCode(t, <-asked, pgerror.ObjectInUse, "is active for PID 7")
	if s, _ := a.slots.Read("x"); s.Restart != 900 || s.Owner != "b" {
		t.Errorf("%+v", s)
	}
	g.Release()
}

// A member that can't be asked about slots, as one of an older version, is gone around.
func TestOlderMember(t *testing.T) {
	w := newWorld(t, "a", "b")
	a := w.all["a"]
	w.part("b", true, false)
	w.runAll()
	w.must(a.create("x"))
	g, err := a.attach("x", 7)
	w.must(err)
	g.Release()
	w.must(a.drop("x"))
	if why := a.sharing.Failing()["b"]; why == "" {
		t.Error("nobody is told that slots are not shared with b")
	}
}

// What no member says ends the connection and changes nothing.
func TestHostileMember(t *testing.T) {
	w := newWorld(t, "a", "b", "c")
	a, b := w.all["a"], w.all["b"]
	w.must(a.create("x"))
	before := a.slots.Shared()
	dial := func() net.Conn {
		conn, _, err := b.Open(t.Context(), "a", Protocols()...)
		w.must(err)
		w.must(conn.SetDeadline(time.Now().Add(patience)))
		return conn
	}
	ends := func(what string, conn net.Conn) {
		t.Helper()
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", what, err)
		}
		_ = conn.Close()
	}
	forged := dial()
	claim := shared.State{Name: "x", Generation: 50, Owner: "c", Stamp: 1}
	w.must(write(forged, shared.Oldest, shared.Message{Wish: shared.Drop, Entries: []shared.Entry{{State: claim}}}))
	ends("a claim of another member", forged)
	for what, bytes := range map[string]string{
		"much too long": "\xff\xff\xff\xff", "noise": "\x00\x00\x00\x08nonsense", "another version": "\x00\x00\x00\x05\x02\x00\x00\x00\x00",
		"cut short": "\x00\x00\x00\x05\x01\x00\x00\x00\x01",
	} {
		conn := dial()
		_, err := conn.Write([]byte(bytes))
		w.must(err)
		ends(what, conn)
	}
	var open []net.Conn
	for range maxConns {
		conn := dial()
		w.must(write(conn, shared.Oldest, shared.Message{}))
		_, err := read(conn, shared.Oldest, patience)
		w.must(err)
		open = append(open, conn)
	}
	ends("one connection too many", dial())
	for _, conn := range open {
		_ = conn.Close()
	}
	if !slices.Equal(a.slots.Shared(), before) {
		t.Errorf("%+v", a.slots.Shared())
	}
}
