package walsource

import (
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// TestDownSince: an earlier silence is over once the primary was seen, whoever the stream came from. The next one begins
// when a look finds none.
func TestDownSince(t *testing.T) {
	up, err := upstream.Parse("host=127.0.0.1 port=1 user=u sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Upstream: up, Name: "px", Store: openStore(t, t.TempDir())}
	o.Quorum = newRule(free())
	r, err := New(alone(o))
	if err != nil {
		t.Fatal(err)
	}
	r.silent(true) // the member that was streamed from has died
	if _, down := r.DownSince(); !down {
		t.Error("nobody answers, and it is not down")
	}
	r.setPrimary(upstream.Endpoint{Host: "db1"}, true)
	if since, down := r.DownSince(); down {
		t.Errorf("down since %s, and there", since)
	}
	first := time.Now()
	r.setPrimary(upstream.Endpoint{}, false)
	r.silent(true)
	if since, down := r.DownSince(); !down || since.Before(first) {
		t.Errorf("down %v since %s, which was before %s", down, since, first)
	}
}

// deadMember is a member that is chosen and does not answer.
type deadMember struct{ err error }

func (d deadMember) Connect(context.Context, map[string]string) (Conn, error) { return nil, d.err }

func (d deadMember) Watch(ctx context.Context, _ lsn.SystemID, _ lsn.TimelineID, _ func(upstream.Endpoint)) error {
	<-ctx.Done()
	return ctx.Err()
}

// TestDeadMemberIsNoPrimary: that a member does not answer says nothing about the primary (ruling R33).
func TestDeadMemberIsNoPrimary(t *testing.T) {
	w := newWalsender(t, nil)
	off, err := upstream.Parse("host=127.0.0.1 port=1 user=u sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	_, err = off.Connect(t.Context(), nil)
	if !upstream.Down(err) {
		t.Fatalf("nobody listens there, and the error is %v", err)
	}
	member := deadMember{err}
	r := start(t, w, newMemStore(), func(o *Options) { o.Via, o.Primary = member, member })
	r.await("attempts", func(s Status) bool { return s.Reconnects >= 2 && s.LastError != "" })
	if r.PrimaryDown() {
		t.Error("the primary was not asked, and is taken for down")
	}
}

// TestCutShortIsNoSilence: a look at the primary that ends with its stream says nothing about the primary.
func TestCutShortIsNoSilence(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	up, err := upstream.Parse(fmt.Sprintf("host=127.0.0.1 port=%d user=u sslmode=disable", l.Addr().(*net.TCPAddr).Port))
	if err != nil {
		t.Fatal(err)
	}
	m := newMemStore()
	m.pos.Timeline = 1
	r := with(t, Options{Store: m, Upstream: up, Primary: patient{up}})
	stop := r.lookAfterPrimary(t.Context(), 7)
	c, err := l.Accept() // the question is on its way
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.ReadFull(c, make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	stop()
	if r.PrimaryDown() {
		t.Error("the look was cut short, and the primary is taken for down")
	}
}

// patient looks at a primary until it answers.
type patient struct{ up *upstream.Config }

func (p patient) Watch(ctx context.Context, _ lsn.SystemID, _ lsn.TimelineID, _ func(upstream.Endpoint)) error {
	_, err := p.up.ConnectAll(ctx, nil, time.Second)
	return err
}

// TestMemberHearsThePrimary: a primary that does not answer here lives as long as the member that is streamed from says
// that it hears it (ruling R33). What was found here is shown all the same.
func TestMemberHearsThePrimary(t *testing.T) {
	hears := true
	r := with(t, Options{Store: newMemStore(), Hears: func(member string) bool { return member == "b" && hears }})
	r.silent(true)
	if !r.PrimaryDown() {
		t.Error("there is no stream")
	}
	r.rcv.LoggedIn(upstream.Endpoint{}, "b", nil)
	r.rcv.Update(func(st *walreceiver.Status) { st.State = walreceiver.Streaming })
	if r.PrimaryDown() {
		t.Error("b hears the primary")
	}
	if _, down := r.DownSince(); !down {
		t.Error("that it does not answer here is not shown")
	}
	if hears = false; !r.PrimaryDown() {
		t.Error("b does not hear it either")
	}
}
