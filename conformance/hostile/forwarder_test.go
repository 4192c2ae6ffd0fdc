package hostile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/replproxy/replproxy/internal/wire"
)

// edit changes one message of the server: what it returns goes to the proxy instead.
type edit func(l *leg, typ byte, body []byte) []byte

// as it is: the message itself.
func whole(typ byte, body []byte) []byte { return wire.AppendFrame(nil, typ, body) }

// leg is one connection through the forwarder.
type leg struct {
	startup string // the parameters of the startup packet

	mu       sync.Mutex
	commands []string // that are not answered yet

	// Owned by the server's side.
	loggedIn bool
	command  string // that the message answers; "" within the log-in
	number   int    // of messages before it
	cut      bool   // end the connection behind what is returned
	fresh    bool   // what comes is new to the proxy
}

func (l *leg) walsender() bool { return strings.Contains(l.startup, "replication\x00true\x00") }

// forwarder is the way from the proxy to the primary, in user space.
type forwarder struct {
	port int
	to   string

	all  sync.WaitGroup
	mu   sync.Mutex
	lied bool // since the edit was set
	edit edit
	open map[net.Conn]bool
}

func startForwarder(t *testing.T, to int) *forwarder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &forwarder{port: l.Addr().(*net.TCPAddr).Port, to: fmt.Sprintf("127.0.0.1:%d", to), open: map[net.Conn]bool{}}
	f.all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			f.all.Go(func() { f.serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		f.set(nil)
		f.all.Wait()
	})
	return f
}

// set sets the edit of messages, and cuts present connections.
func (f *forwarder) set(e edit) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.edit, f.lied = e, false
	for conn := range f.open {
		conn.Close()
	}
}

func (f *forwarder) keep(conns ...net.Conn) (leave func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range conns {
		f.open[c] = true
	}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, c := range conns {
			c.Close()
			delete(f.open, c)
		}
	}
}

// told reports whether the edit has changed anything.
func (f *forwarder) told() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lied
}

// noting is e, and notes what told tells.
func (f *forwarder) noting(e edit) edit {
	if e == nil {
		return nil
	}
	return func(l *leg, typ byte, body []byte) []byte {
		before := whole(typ, body)
		after := e(l, typ, body)
		if !bytes.Equal(before, after) {
			f.mu.Lock()
			f.lied = true
			f.mu.Unlock()
		}
		return after
	}
}

func (f *forwarder) serve(client net.Conn) {
	server, err := net.Dial("tcp", f.to)
	if err != nil {
		client.Close()
		return
	}
	f.mu.Lock()
	e := f.edit
	f.mu.Unlock()
	defer f.keep(client, server)()
	l := &leg{}
	var size [4]byte
	if _, err := io.ReadFull(client, size[:]); err != nil {
		return
	}
	packet := make([]byte, max(4, binary.BigEndian.Uint32(size[:]))-4)
	if _, err := io.ReadFull(client, packet); err != nil {
		return
	}
	l.startup = string(packet)
	if _, err := server.Write(append(size[:], packet...)); err != nil {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = l.up(client, server)
		server.Close()
	}()
	_ = l.down(server, client, f.noting(e))
	client.Close()
	server.Close()
	<-done
}

// up passes the proxy's messages on, and notes its commands.
func (l *leg) up(client, server net.Conn) error {
	r := wire.NewReader(client, 16<<10)
	for {
		h, err := r.Next()
		if err != nil {
			return err
		}
		body, err := r.Body(h.Size, 1<<20)
		if err != nil {
			return err
		}
		if h.Type == 'Q' {
			l.mu.Lock()
			l.commands = append(l.commands, strings.TrimSuffix(string(body), "\x00"))
			l.mu.Unlock()
		}
		if _, err := server.Write(whole(h.Type, body)); err != nil {
			return err
		}
	}
}

var errCut = errors.New("cut")

// down passes the server's messages on, edited.
func (l *leg) down(server, client net.Conn, e edit) error {
	r := wire.NewReader(server, 256<<10)
	for {
		h, err := r.Next()
		if err != nil {
			return err
		}
		body, err := r.Body(h.Size, 1<<26)
		if err != nil {
			return err
		}
		l.answers()
		out := whole(h.Type, body)
		if e != nil {
			out = e(l, h.Type, body)
		}
		if l.number++; h.Type == 'Z' {
			l.answered()
		}
		if _, err := client.Write(out); err != nil {
			return err
		}
		if l.cut {
			return errCut
		}
	}
}

// answers notes which command the next message belongs to.
func (l *leg) answers() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.loggedIn && len(l.commands) > 0 {
		l.command = l.commands[0]
	}
}

func (l *leg) answered() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.loggedIn && len(l.commands) > 0 {
		l.commands = l.commands[1:]
	}
	l.loggedIn, l.number = true, 0
}
