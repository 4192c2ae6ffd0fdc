package scene

import (
	"net"
	"strconv"
	"sync"
	"testing"
)

// Way is a way over a network to a port of 127.0.0.1, in user space. What it has accepted it can forget, as a NAT does:
// both ends stay open, what they say is lost, and neither hears of the other's end. It can be stalled as well: nothing
// arrives, of old connections and new ones, until it goes on.
type Way struct {
	Port int
	to   string

	all  sync.WaitGroup
	mu   sync.Mutex
	open map[*passage]bool
	// stalled is closed when the way goes on; nil: it goes.
	stalled chan struct{}
}

// passage is one connection over a way.
type passage struct {
	ends      [2]net.Conn
	forgotten bool // under the way's mu
}

// NewWay opens a way that ends with the test.
func NewWay(t *testing.T, to int) *Way {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &Way{
		Port: l.Addr().(*net.TCPAddr).Port, to: net.JoinHostPort("127.0.0.1", strconv.Itoa(to)),
		open: map[*passage]bool{},
	}
	w.all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			w.all.Go(func() { w.pass(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		w.Stall(false)
		w.mu.Lock()
		for p := range w.open {
			p.close()
		}
		w.mu.Unlock()
		w.all.Wait()
	})
	return w
}

// Forget loses all that is said from now on over the connections that there are.
func (w *Way) Forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for p := range w.open {
		p.forgotten = true
	}
}

// Stall holds back all that is said, or lets it go on.
func (w *Way) Stall(hold bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if was := w.stalled; hold && was == nil {
		w.stalled = make(chan struct{})
	} else if !hold && was != nil {
		close(was)
		w.stalled = nil
	}
}

// wait returns when the way goes.
func (w *Way) wait() {
	w.mu.Lock()
	stalled := w.stalled
	w.mu.Unlock()
	if stalled != nil {
		<-stalled
	}
}

func (w *Way) forgot(p *passage) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return p.forgotten
}

func (w *Way) pass(from net.Conn) {
	w.wait()
	to, err := net.Dial("tcp", w.to)
	if err != nil {
		_ = from.Close()
		return
	}
	p := &passage{ends: [2]net.Conn{from, to}}
	w.mu.Lock()
	w.open[p] = true
	w.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { w.copy(p, to, from) })
	both.Go(func() { w.copy(p, from, to) })
	both.Wait()
	w.mu.Lock()
	delete(w.open, p)
	w.mu.Unlock()
	p.close()
}

// copy passes what one end says until it ends; then it ends the other, unless the passage is forgotten.
func (w *Way) copy(p *passage, to, from net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		w.wait()
		if !w.forgot(p) && n > 0 {
			_, _ = to.Write(buf[:n])
		}
		if err != nil {
			break
		}
	}
	if !w.forgot(p) {
		p.close()
	}
}

func (p *passage) close() {
	for _, conn := range p.ends {
		_ = conn.Close()
	}
}
