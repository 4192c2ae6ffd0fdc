package admin

import (
	"context"
	"crypto/tls"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/replproxy/replproxy/internal/descriptors"
	"github.com/replproxy/replproxy/internal/stamp"
)

// Bounds of the HTTP server. It serves probes and a scraper, not the public.
const (
	headerTimeout  = 5 * time.Second
	requestTimeout = 10 * time.Second
	answerTimeout  = 30 * time.Second
	idleTimeout    = 60 * time.Second
	stopTimeout    = 2 * time.Second // answers under way at shutdown
	maxHeader      = 16 << 10
	maxConnections = 64 // see guests
)

//go:embed page
var page embed.FS

// Source gives the snapshot that everything is served from. It is called from many goroutines and
// must not block on a network.
type Source interface{ Status() Status }

// Options of a [Server].
type Options struct {
	Listener net.Listener // closed by Run
	Source   Source
	Tail     http.Handler // GET /tail; nil: none
	Profiles bool         // serve /debug/pprof
	// TLS gives the configuration of a connection that begins now; nil: there is none.
	TLS   func() *tls.Config
	Token *Token // who asks must have it, probes apart; nil: none
	// Hosts are the names by which it may be asked in clear, beside addresses and localhost; "*": by all.
	Hosts  []string
	Logger *slog.Logger
}

// Server is the HTTP server. [New] starts nothing.
type Server struct {
	o      Options
	http   *http.Server
	guests *guests
}

// New makes a server with a metrics registry of its own.
func New(o Options) *Server {
	s := &Server{o: o, guests: newGuests(maxConnections)}
	s.http = &http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ConnState:         s.guests.note,
		ErrorLog:          slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	return s
}

// Run serves until ctx ends, then lets answers under way finish for stopTimeout at most, and returns nil. An error
// before that is the listener's. Call it once.
func (s *Server) Run(ctx context.Context) error {
	done := make(chan error, 1)
	l := descriptors.Patient(s.o.Listener, s.o.Logger)
	if s.o.TLS != nil {
		l = tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: s.config})
	}
	go func() { done <- s.http.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve http: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := s.http.Shutdown(grace); err != nil {
		s.http.Close()
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve http: %w", err)
	}
	return nil
}

// config returns the TLS configuration of one connection: the client listeners' files, with HTTP's protocol.
func (s *Server) config(*tls.ClientHelloInfo) (*tls.Config, error) {
	c := s.o.TLS().Clone()
	c.NextProtos = []string{"http/1.1"}
	return c, nil
}

// status returns one snapshot with the readiness filled in.
func (s *Server) status() *Status {
	st := s.o.Source.Status()
	st.Ready, st.NotReady = Readiness(&st)
	return &st
}

func (s *Server) routes() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(newCollector(s.status), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", s.ready)
	mux.HandleFunc("GET /status", s.document)
	if s.o.Tail != nil {
		mux.Handle("GET /tail", s.o.Tail)
	}
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	files, err := fs.Sub(page, "page")
	if err != nil {
		panic(err) // the embedded folder has a constant name
	}
	mux.Handle("GET /{$}", http.FileServerFS(files))
	mux.Handle("GET /page.js", http.FileServerFS(files))
	mux.Handle("GET /page.css", http.FileServerFS(files))
	if s.o.Profiles {
		profiles(mux)
	}
	return headers(hosts(s.o.Hosts).guard(s.o.Token.guard(mux)))
}

// headers keeps browsers from running or framing anything that is not ours.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	st := s.status()
	code, body := http.StatusOK, "ready"
	if !st.Ready {
		code, body = http.StatusServiceUnavailable, "not ready"
	}
	if s.o.Token.admits(r) && hosts(s.o.Hosts).allow(r) { // others are told no names
		if !st.Ready {
			body += ": " + st.NotReady
		}
		if st.Verdict.Text != "" {
			body = st.Verdict.Text + "\n" + body
		}
	}
	text(w, code, body)
}

func (s *Server) document(w http.ResponseWriter, _ *http.Request) {
	body, err := json.MarshalIndent(s.status(), "", "  ")
	if err != nil {
		s.o.Logger.Error("could not encode the status", "err", err)
		text(w, http.StatusInternalServerError, "could not encode the status")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(append(body, '\n')) // fails only when the client is gone
}

func text(w http.ResponseWriter, code int, line string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	fmt.Fprintln(w, line)
}

// profiles serves Go's profiles, but not the command line, which may hold a password. A program that was built with the
// tag stamps has those as well.
func profiles(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	if stamp.On {
		mux.HandleFunc("GET /debug/stamps", func(w http.ResponseWriter, _ *http.Request) { _ = stamp.Take(w) })
	}
}
