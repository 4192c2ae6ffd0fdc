package descriptors

import (
	"crypto/tls"
	"fmt"
	"net"
	"syscall"
)

const (
	// Reserve is the number of descriptors that clients leave to the rest of the proxy. It covers segments that are
	// written, flushed and read, spare ones, slots, small files, the walreceiver, links with members, and http.
	Reserve = 96
	// Least is the fewest with which a proxy starts: it uses about thirty before the first client comes.
	Least = 64
	// reservePart bounds the reserve where there are few: it is no more than this part of all.
	reservePart = 3
	// perSession is the number of descriptors of a relayed session: the client's socket, the primary's, and half a
	// pipe each way.
	perSession = 4
)

// Budget bounds the descriptors of this process. The zero value has no bound.
type Budget struct {
	Limit int
}

// Clients returns how many of them clients may use, 0 for no bound.
func (b Budget) Clients() int {
	if b.Limit == 0 {
		return 0
	}
	return b.Limit - min(Reserve, b.Limit/reservePart)
}

// Tight reports whether a connection for a client, which was made just now, is in the reserve: somebody should make
// room, which takes a moment. One that is no socket takes nothing.
func (b Budget) Tight(conn net.Conn) bool {
	clients := b.Clients()
	return clients > 0 && number(conn) >= clients
}

// Check returns why the limit is too low for a proxy, or nil.
func (b Budget) Check() error {
	if b.Limit > 0 && b.Limit < Least {
		return fmt.Errorf("the limit of open files is %d, a proxy needs at least %d: raise ulimit -n or LimitNOFILE",
			b.Limit, Least)
	}
	return nil
}

// Sessions returns for how many sessions there are descriptors, and whether that is fewer than so many of each kind,
// relayed ones and walsenders.
func (b Budget) Sessions(each int) (n int, fewer bool) {
	if b.Limit == 0 {
		return 2 * each, false
	}
	n = max(0, b.Clients()-Least/2) / perSession
	return n, n < 2*each
}

// number returns the descriptor of a socket, -1 for none.
func number(conn net.Conn) int {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return -1
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return -1
	}
	n := -1
	_ = raw.Control(func(fd uintptr) { n = int(fd) })
	return n
}
