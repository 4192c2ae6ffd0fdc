package hostile

import (
	"fmt"
	"net"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

const (
	// halfOpen connections are held at once: more than the proxy holds, fewer than this process may have open.
	halfOpen = 5000
	// crowd is the number of walsenders that begin a log-in and leave it there, and of cancel requests that come at
	// once.
	crowd = 300
	// elsewhere is the address of a crowd whose log-ins wait for their turn: addresses take turns.
	elsewhere = "127.0.0.66"
)

// floods are many at once. Honest clients must get through meanwhile.
func floods() []attack {
	return []attack{
		{name: "flood: 5,000 half-open connections", postgres: "-", heavy: true, play: func(p *peer) {
			for i := range halfOpen {
				p.dial().send(halfPacket(i))
			}
			p.served()
			p.small(512 + 300) // the proxy's bound, and what sessions have open
		}},
		{name: "flood: 300 walsenders that never answer", postgres: "-", heavy: true, play: func(p *peer) {
			p.from = elsewhere
			for range crowd {
				p.dial().send(parameters("user", "postgres", "replication", "true"))
			}
			p.served()
			p.walsenders(1 + 2) // the proxy's own, and auth.max_upstream_walsenders
		}},
		{name: "flood: 300 walsenders that leave at once", postgres: "-", heavy: true, play: func(p *peer) {
			p.from = elsewhere
			for range crowd {
				p.dial().send(parameters("user", "postgres", "replication", "true")).reset()
			}
			p.served()
			p.walsenders(1 + 2)
		}},
		{name: "flood: 1,000 connections reset", postgres: "-", heavy: true, play: func(p *peer) {
			for range 1000 {
				p.dial().reset()
			}
			p.served()
		}},
		{name: "flood: 300 cancel requests at once, keys guessed", postgres: "-", heavy: true, play: func(p *peer) {
			for i := range uint32(crowd) {
				p.dial().send(cancelRequest(1<<22+i, []byte{1, 2, 3, byte(i)}))
			}
			p.served()
		}},
		{name: "flood: 64 http connections that say nothing", postgres: "-", heavy: true, play: func(p *peer) {
			for range 64 {
				p.dial(p.w.http())
			}
			p.probed()
		}},
		{name: "flood: 64 http connections that are kept", postgres: "-", heavy: true, play: func(p *peer) {
			p.form = speaksHTTP
			for range 64 {
				p.dial(p.w.http()).send([]byte("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"))
				p.judge([]string{"200"})
			}
			p.probed()
		}},
		{name: "flood: 64 half-open connections to the cluster's port", postgres: "-", heavy: true, play: func(p *peer) {
			for range 64 {
				p.dial(p.w.cluster)
			}
			// One that says something is answered before the others have run into their time.
			p.form = speaksBytes
			began := time.Now()
			p.dial(p.w.cluster).send([]byte("\xde\xad\xbe\xef\xde\xad\xbe\xef")).judge([]string{"closed"})
			if took := time.Since(began); took > 4*time.Second {
				p.fail("it waited %v behind the silent ones", took)
			}
		}},
	}
}

// halfPacket is some of a startup packet, or none.
func halfPacket(i int) []byte { return []byte("\x00\x00\x00\x40\x00\x03\x00\x00user\x00")[:i%13] }

func (p *peer) reset() {
	if p.err == nil {
		_ = p.conn.(*net.TCPConn).SetLinger(0)
		_ = p.conn.Close()
	}
}

// served: an honest application and an honest walsender get in.
func (p *peer) served() {
	for _, words := range []string{"", "replication=true"} {
		if p.err != nil {
			return
		}
		if _, err := pgtest.Query(p.ctx, p.conninfo(words), "SHOW wal_segment_size"); err != nil {
			p.fail("an honest client with %q: %w", words, err)
		}
	}
}

// probed: an honest http client is answered.
func (p *peer) probed() {
	if p.err != nil {
		return
	}
	if code, _, err := p.w.proxy.Get(p.ctx, "/healthz"); err != nil || code != 200 {
		p.fail("an honest probe got %d, %v", code, err)
	}
}

// small: the proxy has no more descriptors open than that.
func (p *peer) small(atMost float64) {
	if p.err != nil {
		return
	}
	_, body, err := p.w.proxy.Get(p.ctx, "/metrics")
	s, err2 := sizeOf(body)
	if err != nil || err2 != nil || s.descriptors > atMost {
		p.fail("%v: %v %v", s, err, err2)
	}
}

// walsenders: the primary has no more than that.
func (p *peer) walsenders(atMost int) {
	if p.err != nil {
		return
	}
	rows, err := pgtest.Query(p.ctx, p.w.primary.Conninfo(),
		"SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender'")
	if err != nil {
		p.fail("count walsenders: %w", err)
		return
	}
	var n int
	if _, err := fmt.Sscan(rows[0][0], &n); err != nil || n > atMost {
		p.fail("the primary has %s walsenders, at most %d are for the proxy", rows[0][0], atMost)
	}
}
