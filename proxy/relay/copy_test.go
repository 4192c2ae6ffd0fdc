package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// ways are the ways in which bytes are copied.
var ways = []struct {
	name, client, upstream string
	loop, wrap             bool
}{
	{"loop, TCP to TCP", "tcp", "tcp", true, false},
	{"loop, TCP to unix", "tcp", "unix", true, false},
	{"loop, unix to TCP", "unix", "tcp", true, false},
	{"loop, unix to unix", "unix", "unix", true, false},
	{"loop, but no socket", "tcp", "tcp", true, true},
	{"goroutines", "tcp", "unix", false, false},
	{"TLS to TCP", "tls", "tcp", true, false},
	{"TCP to TLS", "tcp", "tls", true, false},
	{"TLS to TLS", "tls", "tls", false, false},
}

// inEachWay runs f with a relay that is past its log-in.
func inEachWay(t *testing.T, f func(t *testing.T, s *session, cancel context.CancelCauseFunc)) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			var e *Engine
			if way.loop {
				e = engine(t)
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			s := run(t, ctx, way.client, way.upstream, func(o *Options) {
				o.Engine, o.FromClient, o.ToClient = e, new(atomic.Int64), new(atomic.Int64)
				if way.wrap {
					o.Client = wrapped{o.Client}
				}
			})
			s.login(t)
			f(t, s, cancel)
		})
	}
}

func TestSmallMessages(t *testing.T) {
	inEachWay(t, func(t *testing.T, s *session, _ context.CancelCauseFunc) {
		for i := range 200 {
			s.send(t, s.client, fmt.Sprintf("question %d", i))
			s.expect(t, s.primary, fmt.Sprintf("question %d", i))
			s.send(t, s.primary, fmt.Sprintf("answer %d", i))
			s.expect(t, s.client, fmt.Sprintf("answer %d", i))
		}
		s.client.Close()
		if _, err := io.ReadAll(s.primary); err != nil {
			t.Error(err)
		}
		s.primary.Close()
		if err := s.end(t); err != nil {
			t.Errorf("ended with %v", err)
		}
	})
}

// Both directions at once, in writes of every size, with a reader that stops now and then. The same bytes arrive that
// were sent, and as many are counted.
func TestBulkBothWays(t *testing.T) {
	inEachWay(t, func(t *testing.T, s *session, _ context.CancelCauseFunc) {
		data := make([]byte, 24<<20)
		rng := rand.NewChaCha8([32]byte{1})
		_, _ = rng.Read(data)
		sender := func(c net.Conn, seed uint64) {
			r := rand.New(rand.NewPCG(seed, 2))
			for rest := data; len(rest) > 0; {
				n := min(len(rest), 1+r.IntN(1<<(1+r.IntN(20))))
				if _, err := c.Write(rest[:n]); err != nil {
					t.Errorf("write: %v", err)
					return
				}
				rest = rest[n:]
			}
			_ = c.(interface{ CloseWrite() error }).CloseWrite()
		}
		go sender(s.client, 1)
		go sender(s.primary, 2)
		received := make(chan []byte, 2)
		for _, c := range []net.Conn{s.client, s.primary} {
			go func() {
				var got bytes.Buffer
				buf := make([]byte, 300_000)
				for {
					n, err := c.Read(buf[:1+len(buf)*(got.Len()%3)/3])
					got.Write(buf[:n])
					if err != nil {
						received <- got.Bytes()
						return
					}
				}
			}()
		}
		for range 2 {
			if got := <-received; !bytes.Equal(got, data) {
				t.Errorf("%d bytes sent, %d arrived, and they differ", len(data), len(got))
			}
		}
		if err := s.end(t); err != nil {
			t.Errorf("ended with %v", err)
		}
		if in := s.o.ToClient.Load(); in != int64(len(data)) {
			t.Errorf("%d bytes to the client counted", in)
		}
		if out := s.o.FromClient.Load(); out != int64(len(data)) {
			t.Errorf("%d bytes from the client counted", out)
		}
	})
}

// The end of one direction leaves the other one open for as long as it is needed.
func TestHalfClose(t *testing.T) {
	inEachWay(t, func(t *testing.T, s *session, _ context.CancelCauseFunc) {
		s.send(t, s.client, "last question")
		_ = s.client.(interface{ CloseWrite() error }).CloseWrite()
		got, err := io.ReadAll(s.primary)
		if err != nil || string(got) != "last question" {
			t.Fatalf("the primary got %q, %v", got, err)
		}
		for range 3 {
			s.send(t, s.primary, "still here")
			s.expect(t, s.client, "still here")
		}
		s.primary.Close()
		if rest, err := io.ReadAll(s.client); err != nil || len(rest) > 0 {
			t.Fatalf("the client got %q, %v", rest, err)
		}
		if err := s.end(t); err != nil {
			t.Errorf("ended with %v", err)
		}
	})
}

// Everything that was on its way when the primary closed arrives before the end does.
func TestPrimaryCloses(t *testing.T) {
	inEachWay(t, func(t *testing.T, s *session, _ context.CancelCauseFunc) {
		last := string(frame('E', "SFATAL\x00C57P01\x00\x00"))
		s.send(t, s.primary, last)
		s.primary.Close()
		got, err := io.ReadAll(s.client)
		if err != nil || string(got) != last {
			t.Fatalf("the client got %q, %v", got, err)
		}
		s.client.Close()
		if err := s.end(t); err != nil {
			t.Errorf("ended with %v", err)
		}
	})
}

// A primary that has ended its side, and takes nothing more though it is there, does not hold a session for ever.
func TestPrimaryEndsAndTakesNothing(t *testing.T) {
	e := engine(t)
	var sessions []*session
	for _, client := range []string{"tcp", "tls"} { // in a loop, and by goroutines
		s := run(t, t.Context(), client, "tcp", func(o *Options) { o.Engine = e })
		s.login(t)
		go func() {
			for {
				if _, err := s.client.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}()
		_ = s.primary.(*net.TCPConn).CloseWrite()
		sessions = append(sessions, s)
	}
	for _, s := range sessions {
		if err := s.end(t); err != nil {
			t.Errorf("ended with %v", err)
		}
	}
}

// A client that is reset takes its primary's connection along, though that one says nothing.
func TestClientIsReset(t *testing.T) {
	inEachWay(t, func(t *testing.T, s *session, _ context.CancelCauseFunc) {
		tcp, ok := s.client.(*net.TCPConn)
		if !ok {
			return // unix sockets know no reset
		}
		_ = tcp.SetLinger(0)
		tcp.Close()
		if err := s.end(t); !brokenBy(err, Client) {
			t.Errorf("ended with %v", err)
		}
		if _, err := io.ReadAll(s.primary); err != nil {
			t.Logf("the primary: %v", err)
		}
	})
}

// A client that has stopped reading does not outlive its session's context.
func TestContextEndsACopy(t *testing.T) {
	inEachWay(t, func(t *testing.T, s *session, cancel context.CancelCauseFunc) {
		go func() {
			for {
				if _, err := s.primary.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}()
		for before := int64(-1); s.o.ToClient.Load() > before; { // until nothing moves any more
			before = s.o.ToClient.Load()
			<-time.After(50 * time.Millisecond)
		}
		cause := errors.New("drained")
		cancel(cause)
		if err := s.end(t); !errors.Is(err, cause) {
			t.Errorf("ended with %v", err)
		}
	})
}

// A session that stalls costs its neighbours on the same loop nothing but its share.
func TestStalledSessionDelaysNobody(t *testing.T) {
	e := engine(t)
	var stalled []*session
	for range 8 {
		s := run(t, t.Context(), "tcp", "tcp", func(o *Options) { o.Engine = e })
		s.login(t)
		go func() {
			for {
				if _, err := s.primary.Write(make([]byte, 1<<20)); err != nil {
					return
				}
			}
		}()
		stalled = append(stalled, s)
	}
	s := run(t, t.Context(), "tcp", "unix", func(o *Options) { o.Engine = e })
	s.login(t)
	for i := range 500 {
		s.send(t, s.client, fmt.Sprint("ping", i))
		s.expect(t, s.primary, fmt.Sprint("ping", i))
	}
	for _, s := range append(stalled, s) {
		s.client.Close()
		s.primary.Close()
		s.end(t)
	}
}

// An engine that stops ends its sessions; one that never ran leaves nothing open.
func TestEngineStops(t *testing.T) {
	e, err := NewEngine()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- e.Run(ctx) }()
	s := run(t, t.Context(), "tcp", "tcp", func(o *Options) { o.Engine = e })
	s.login(t)
	s.send(t, s.client, "x")
	s.expect(t, s.primary, "x")
	cancel()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if err := s.end(t); err == nil {
		t.Error("the session ended in order")
	}
	late := run(t, t.Context(), "tcp", "tcp", func(o *Options) { o.Engine = e })
	late.expect(t, late.primary, "startup!")
	late.send(t, late.primary, string(frame('R', u32(0)))+string(frame('Z', "I")))
	if err := late.end(t); err == nil {
		t.Error("a session began in a stopped engine")
	}
	never, err := NewEngine()
	if err != nil {
		t.Fatal(err)
	}
	never.Close()
	never.Close()
}

// Loops that are busy, one on each processor, wait without the scheduler's knowledge: a collection
// of garbage, for which each of them has to stop, still comes through.
func TestBusyLoopsAndTheCollector(t *testing.T) {
	e := engine(t)
	var busy []*session
	for range 2 * max(1, e.Loops()) {
		s := run(t, t.Context(), "tcp", "tcp", func(o *Options) { o.Engine = e })
		s.login(t)
		busy = append(busy, s)
	}
	collected := make(chan struct{})
	go func() {
		defer close(collected)
		for range 50 {
			runtime.GC()
		}
	}()
	deadline := time.After(patience)
	for going := true; going; {
		for _, s := range busy {
			s.send(t, s.client, "ping")
			s.expect(t, s.primary, "ping")
		}
		select {
		case <-collected:
			going = false
		case <-deadline:
			t.Fatal("the collector does not come through")
		default:
		}
	}
	for _, s := range busy {
		s.client.Close()
		s.primary.Close()
		s.end(t)
	}
}
