package walsender

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

func always() bool { return true }

// streaming is a sender whose standby has all WAL and says nothing by itself.
func streaming(t *testing.T, conns func(testing.TB) (net.Conn, net.Conn)) *standby {
	t.Helper()
	c := attach(t, newFakeStore(t, base, 1<<20), setup{plan: Plan{Timeline: 1, Start: base}, timeout: time.Minute, conns: conns})
	c.expect(copyBoth)
	return c
}

// A session that its standby has left is asked, and ends when it says nothing. It ends at once when that is allowed, on
// any kind of connection, also in the middle of a write that blocks. Nothing of this waits for wal_sender_timeout.
func TestDoubtEndsWhoIsSilent(t *testing.T) {
	blocked := func(t *testing.T) *standby {
		store := newFakeStore(t, base, 64<<20)
		store.receive(base + 64<<20)
		c := attachAtBase(t, store)
		c.expect(copyBoth)
		return c
	}
	for name, begin := range map[string]func(*testing.T) *standby{
		"idle":    func(t *testing.T) *standby { return streaming(t, tcpPair) },
		"unix":    func(t *testing.T) *standby { return streaming(t, unixPair) },
		"TLS":     func(t *testing.T) *standby { return streaming(t, tlsPair) },
		"blocked": blocked,
		"blocked in TLS": func(t *testing.T) *standby {
			return blockedTLS(t, time.Minute)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := begin(t)
			if _, _, doubted := c.sender.Doubt(1, always); !doubted {
				t.Fatal("it is not doubted")
			}
			began := time.Now()
			if err := c.ended(); !errors.Is(err, ErrLeft) || !errors.Is(err, ErrSessionOver) {
				t.Errorf("it ended with %v", err)
			}
			if d := time.Since(began); d < DoubtPatience-stallSlack {
				t.Errorf("it ended after %v", d)
			}
		})
	}
}

// An answer spares a session; whoever has had it is told so, another one asks anew.
func TestDoubtSparesWhoAnswers(t *testing.T) {
	t.Parallel()
	c := streaming(t, tcpPair)
	c.sender.Doubt(1, always)
	if line := c.read(); line[0] != 'k' {
		t.Fatalf("instead of the ping: %s", line)
	}
	stopped := time.Now()
	waitFor(t, "a while of standing still", func() bool { return time.Since(stopped) > DoubtPatience-time.Second })
	c.reply(base, base, base, false)
	spared := func() bool {
		_, _, doubted := c.sender.Doubt(1, always)
		return !doubted
	}
	waitFor(t, "the answer", spared)
	if _, silent, doubted := c.sender.Doubt(2, always); !doubted || time.Since(silent) > DoubtPatience {
		t.Errorf("another one is not asked for: %v, %v", doubted, silent)
	}
}

// Who must not be ended is asked all the same, and ended as soon as that is allowed.
func TestDoubtIsBounded(t *testing.T) {
	t.Parallel()
	var asked, allowed atomic.Bool
	c := streaming(t, tcpPair)
	c.sender.Doubt(1, func() bool { asked.Store(true); return allowed.Load() })
	waitFor(t, "the question", asked.Load)
	select {
	case <-c.done:
		t.Fatal("it was ended")
	default:
	}
	allowed.Store(true)
	if err := c.ended(); !errors.Is(err, ErrLeft) {
		t.Error(err)
	}
}

// A standby that takes what waits for it, slowly, is spared although it says nothing.
func TestDoubtSparesWhoReads(t *testing.T) {
	t.Parallel()
	store := newFakeStore(t, base, 64<<20)
	store.receive(base + 64<<20)
	c := attachAtBase(t, store)
	c.expect(copyBoth)
	c.sender.Doubt(1, always)
	buf, pace := make([]byte, 256<<10), time.NewTicker(50*time.Millisecond) // 5 MB/s of 64 MB
	defer pace.Stop()
	for until := time.Now().Add(2 * DoubtPatience); time.Now().Before(until); {
		if _, err := io.ReadFull(c.conn, buf); err != nil {
			t.Fatal(err)
		}
		<-pace.C
	}
	select {
	case <-c.done:
		t.Errorf("it was ended: %v", c.err)
	default:
	}
}

// The time that this process stands still is not held against the standby (K29), and bytes that went out at once say
// nothing.
func TestDoubtCore(t *testing.T) {
	p := newPlay(t, Plan{Timeline: 1, Start: base}, testTimeout, base)
	p.want(doWait)
	p.c.suspect(look{acked: 1}, p.now)
	if a := p.want(doKeepalive); !a.ping {
		t.Error("it is not asked")
	}
	tick := func(l look) bool { p.later(doubtTick); return p.c.lookedAt(l, p.now) }
	for i := range int(DoubtPatience/doubtTick) - 2 {
		if tick(look{acked: uint64(2 + i)}) {
			t.Fatalf("over after %d ticks", i)
		}
	}
	p.later(time.Minute) // nobody looked
	if p.c.lookedAt(look{acked: 100}, p.now) {
		t.Error("a stall of this process ended it")
	}
	if !tick(look{acked: 100}) {
		t.Error("it is not over after its patience")
	}
	p.c.suspect(look{acked: 1, unsent: 5}, p.now)
	for i := range 100 {
		if tick(look{acked: uint64(2 + i), unsent: 5}) {
			t.Fatal("it takes what waits for it, and is over")
		}
	}
	for i := range 100 {
		if tick(look{received: uint64(1 + i)}) {
			t.Fatal("it says something, and is over")
		}
	}
}
