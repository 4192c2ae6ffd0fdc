package hangup

import (
	"crypto/tls"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/replproxy/replproxy/internal/deadline"
)

// News reports a change of a client's connection.
type News uint8

// The news of a connection. A greater one may follow a lesser, never the other way round.
const (
	Ended  News = iota + 1 // it sends nothing more, and what it sent is unread
	Closed                 // it sends nothing more, and all that it sent has been read
	Gone                   // nobody is there to be answered
)

// lookAfter is the time after which a watch begins. Nearly all waits are over by then, and cost a timer. A goroutine
// that looks, and is ended at once, costs two wake-ups of threads.
const lookAfter = 10 * time.Millisecond

// Watch tells hear what becomes of conn's peer until stop is called, which returns once hear is not called any more
// and may be called again. Until then nobody else may read conn or set its read deadline; stop leaves that at none.
// ahead: bytes of the peer have been read and not been answered yet, and count as unread. A connection that is no
// socket is not watched. What happens in the first moment is heard after it.
func Watch(conn net.Conn, ahead bool, hear func(News)) (stop func()) {
	under, secure := conn, false
	if t, ok := conn.(*tls.Conn); ok {
		under, secure = t.NetConn(), true
	}
	socket, ok := under.(syscall.Conn)
	if !ok || !supported {
		return func() {}
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return func() {}
	}
	done := make(chan struct{})
	begin := time.AfterFunc(lookAfter, func() {
		defer close(done)
		var said News
		_ = raw.Read(func(fd uintptr) bool { // again after each event
			if news := look(int(fd), secure, ahead); news > said {
				said = news
				hear(news)
			}
			return said == Gone
		})
	})
	return sync.OnceFunc(func() {
		if !begin.Stop() {
			_ = under.SetReadDeadline(deadline.Past())
			<-done
		}
		_ = under.SetReadDeadline(time.Time{})
	})
}
