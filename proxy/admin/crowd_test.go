package admin

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"
)

// A probe is answered while as many connections as are served say nothing, are kept, or never end their request.
func TestCrowdLocksNobodyOut(t *testing.T) {
	for name, said := range map[string]string{
		"silent": "", "kept": "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "unfinished": "GET /healthz HTTP/1.1\r\nX: ",
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			s := New(Options{Listener: l, Source: source{}, Logger: slog.New(slog.DiscardHandler)})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- s.Run(ctx) }()
			t.Cleanup(func() {
				cancel()
				<-done
			})
			for range 2 * maxConnections {
				conn, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				fmt.Fprint(conn, said)
				if name == "kept" {
					if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
						t.Fatal(err)
					}
				}
			}
			began := time.Now()
			client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			resp, err := client.Get("http://" + l.Addr().String() + "/healthz")
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if took := time.Since(began); took > headerTimeout {
				t.Errorf("the probe waited %v", took)
			}
			s.guests.mu.Lock()
			defer s.guests.mu.Unlock()
			if n := len(s.guests.open); n > maxConnections {
				t.Errorf("%d connections are held", n)
			}
		})
	}
}

// A crowd makes room for itself: a scraper's kept connection is older than all of it, and stays.
func TestCrowdMakesRoomForItself(t *testing.T) {
	g := newGuests(4)
	kept := &visitor{ip: "10.0.0.1"}
	g.note(kept, http.StateNew)
	g.note(kept, http.StateActive)
	g.note(kept, http.StateIdle)
	var crowd []*visitor
	for range 20 {
		v := &visitor{ip: "10.0.0.2"}
		g.note(v, http.StateNew)
		crowd = append(crowd, v)
	}
	if kept.closed || !crowd[0].closed || crowd[19].closed || len(g.open) != 4 {
		t.Errorf("kept closed %v, %d open", kept.closed, len(g.open))
	}
	for _, v := range append(crowd, kept) {
		g.note(v, http.StateActive) // those that had to go as well: the server may not have noticed
		g.note(v, http.StateClosed)
	}
	if len(g.open)+g.quiet.Len()+g.busy.Len() != 0 {
		t.Errorf("left: %d, %d, %d", len(g.open), g.quiet.Len(), g.busy.Len())
	}
}

type visitor struct {
	net.Conn
	ip     string
	closed bool
}

func (v *visitor) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(v.ip)} }
func (v *visitor) Close() error         { v.closed = true; return nil }

type source struct{}

func (source) Status() Status { return Status{} }
