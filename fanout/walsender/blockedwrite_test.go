package walsender

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// TestCancelWhileWriteBlocks: part of a message is out. A standby that takes the rest is told why the stream ends. One
// that does not may only see the close, unless the socket had room for the rest.
func TestCancelWhileWriteBlocks(t *testing.T) {
	for _, tc := range []struct{ disk, reads bool }{{false, false}, {true, false}, {false, true}, {true, true}} {
		disk := tc.disk
		store := newFakeStore(t, base, 64<<20)
		if disk {
			store.onDisk(t)
		}
		store.receive(base + 64<<20)
		c := attachAtBase(t, store)
		c.expect(copyBoth)
		const looks = 100 // a busy machine may let the sender stand still for a while
		stuck, same := lsn.LSN(0), 0
		waitFor(t, "the socket is full", func() bool {
			c.sender.mu.Lock()
			now, underWay := c.sender.core.sent, c.sender.core.handed > c.sender.core.sent
			c.sender.mu.Unlock()
			if now != stuck || !underWay {
				stuck, same = now, 0
			}
			same++
			return same > looks
		})
		c.cancel(errors.New("bye"))
		var reading sync.WaitGroup
		if tc.reads {
			reading.Go(func() { _, _ = io.Copy(io.Discard, c.conn) })
		}
		err := c.ended()
		c.conn.Close()
		reading.Wait()
		told := pgerror.From(err).Code == pgerror.AdminShutdown && !errors.Is(err, ErrSessionOver)
		if told && c.sender.out.partial || !told && (tc.reads || !errors.Is(err, ErrSessionOver)) {
			t.Fatalf("a standby that reads %v: %v", tc.reads, err)
		}
	}
}

// TestResumedWrite: deadlines interrupt writes to a slow standby again and again; not a byte is lost.
func TestResumedWrite(t *testing.T) {
	for _, disk := range []bool{false, true} {
		for _, conns := range []func(testing.TB) (net.Conn, net.Conn){tcpPair, unixPair, pipePair} {
			store := newFakeStore(t, base, 8<<20)
			if disk {
				store.onDisk(t)
			}
			store.receive(base + 8<<20)
			c := attach(t, store, setup{plan: Plan{Timeline: 1, Start: base}, timeout: time.Minute, conns: conns})
			stop := make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						c.sender.mu.Lock()
						c.sender.poke()
						c.sender.mu.Unlock()
					}
				}
			})
			c.expect(copyBoth)
			c.until(base + 8<<20)
			close(stop)
			wg.Wait()
		}
	}
}

// TestShortFile: a file that ends early is found before a byte too many is promised, or the session
// ends; the standby never gets wrong bytes.
func TestShortFile(t *testing.T) {
	short := newFakeStore(t, base, 1<<20)
	short.wal = short.wal[:100_000]
	short.onDisk(t)
	short.receive(base + 1<<20)
	c := attachAtBase(t, short)
	if err := c.ended(); !errors.Is(err, ErrSessionOver) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
}

// TestTimeoutInBubble runs the shell on a fake clock: ping at half, silent close at the full time.
func TestTimeoutInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore(t, base, 1<<20)
		c := attach(t, store, setup{plan: Plan{Timeline: 1, Start: base}, timeout: time.Minute, conns: pipePair})
		c.expect(copyBoth)
		begin := time.Now()
		c.expect("k 0/3000000 false") // 15 s of silence
		c.expect("k 0/3000000 true")
		if got := time.Since(begin); got != 30*time.Second {
			t.Errorf("ping after %s", got)
		}
		c.reply(base, base, base, false)
		begin = time.Now()
		c.expect("k 0/3000000 false", "k 0/3000000 true", "k 0/3000000 false", "EOF")
		if got := time.Since(begin); got != time.Minute {
			t.Errorf("closed after %s", got)
		}
		if err := c.ended(); !errors.Is(err, ErrTimeout) || !errors.Is(err, ErrSessionOver) {
			t.Fatal(err)
		}
	})
}

// TestDeadPeerInBubble: a standby that takes nothing and says nothing does not pin the goroutine.
func TestDeadPeerInBubble(t *testing.T) {
	for timeout, want := range map[time.Duration]time.Duration{time.Minute: time.Minute, 0: silentMax} {
		synctest.Test(t, func(t *testing.T) {
			store := newFakeStore(t, base, 1<<20)
			store.receive(base + 1<<20)
			begin := time.Now()
			c := attach(t, store, setup{plan: Plan{Timeline: 1, Start: base}, timeout: timeout, conns: pipePair})
			c.expect(copyBoth)
			<-c.done
			if got := time.Since(begin); got < want || got > want+2*writeTick {
				t.Errorf("dropped after %s, expected %s", got, want)
			}
			if !errors.Is(c.err, ErrTimeout) || !errors.Is(c.err, ErrSessionOver) {
				t.Fatal(c.err)
			}
		})
	}
}
