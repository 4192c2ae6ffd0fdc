package walsource

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// directory is a transport without a server: WAL in segment files of one timeline, as in an archive.
type directory struct {
	path   string
	system lsn.SystemID

	mu          sync.Mutex
	end         lsn.LSN       // of what is there
	grown       chan struct{} // one token: end has moved
	at          lsn.LSN
	wal         bytes.Reader // of the segment that was received last
	reported    lsn.Progress
	once        sync.Once
	interrupted chan struct{}
}

func (d *directory) Endpoint() upstream.Endpoint {
	return upstream.Endpoint{Host: d.path, Port: 5432}
}

func (d *directory) Parameters() map[string]string {
	return map[string]string{"server_version": "18.1"}
}
func (d *directory) Virtual() bool                                 { return false }
func (d *directory) SSL() *handshake.SSL                           { return nil }
func (d *directory) Slots(int) walreceiver.Slots                   { return nil }
func (d *directory) Interrupt()                                    { d.once.Do(func() { close(d.interrupted) }) }
func (d *directory) Leave()                                        {}
func (d *directory) Offer(b []byte, w time.Duration) (bool, error) { return true, d.Send(b, w) }
func (d *directory) Finish(time.Duration) error                    { return nil }
func (d *directory) Break(context.Context, bool) error             { return nil }
func (d *directory) Disconnect() error                             { return nil }
func (d *directory) Read(p []byte) (int, error)                    { return d.wal.Read(p) }
func (d *directory) size() lsn.SegSize                             { return lsn.MinSegSize }
func (d *directory) name(at lsn.LSN, t lsn.TimelineID) string {
	return filepath.Join(d.path, d.size().FileName(t, d.size().Segno(at)))
}

func (d *directory) grow(to lsn.LSN) {
	d.mu.Lock()
	d.end = to
	d.mu.Unlock()
	d.grown <- struct{}{}
}

func (d *directory) present() lsn.LSN {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.end
}

func (d *directory) IdentifySystem(context.Context) (walreceiver.Whereabouts, error) {
	return walreceiver.Whereabouts{System: d.system, Timeline: 1, XLogPos: d.present()}, nil
}

func (d *directory) TimelineHistory(_ context.Context, t lsn.TimelineID) ([]byte, error) {
	return nil, pgerror.New(pgerror.UndefinedFile, "could not open file %q", t.HistoryFileName())
}

func (d *directory) Settings(context.Context, []string) (map[string]string, error) {
	return map[string]string{
		"wal_segment_size": strconv.Itoa(int(d.size())>>20) + "MB", "server_version_num": "150020", "in_hot_standby": "off",
	}, nil
}

func (d *directory) Start(_ context.Context, slot string, p walreceiver.StartPoint) (
	copying bool, next walreceiver.StartPoint, err error) {
	if _, err := os.Stat(d.name(p.At, p.Timeline)); err != nil || slot != "" {
		return false, next, pgerror.New(pgerror.UndefinedFile, "requested WAL segment has already been removed")
	}
	d.at = p.At
	return true, next, nil
}

func (d *directory) Receive() (m walreceiver.Message, err error) {
	for d.at >= d.present() {
		select {
		case <-d.grown:
		case <-d.interrupted:
			return m, context.Canceled
		}
	}
	wal, err := os.ReadFile(d.name(d.at, 1))
	if err != nil {
		return m, err
	}
	wal = wal[d.at%lsn.LSN(d.size()):]
	wal = wal[:min(len(wal), int(d.present()-d.at), 64<<10)]
	d.wal.Reset(wal)
	m = walreceiver.Message{Kind: 'w', Start: d.at, Size: len(wal), WALEnd: d.present()}
	d.at += lsn.LSN(len(wal))
	return m, nil
}

func (d *directory) Send(message []byte, _ time.Duration) error {
	u, err := copyboth.DecodeStatusUpdate(message)
	if err == nil {
		d.mu.Lock()
		d.reported = u.Progress
		d.mu.Unlock()
	}
	return err
}

func (d *directory) End(context.Context, time.Duration) (walreceiver.StartPoint, error) {
	return walreceiver.StartPoint{}, errors.New("a directory ends no timeline")
}

// Connect and Watch make it the member that is streamed from, beside a primary that nobody finds.
func (d *directory) Connect(context.Context, map[string]string) (Conn, error) { return d, nil }

func (d *directory) Watch(ctx context.Context, _ lsn.SystemID, _ lsn.TimelineID, _ func(upstream.Endpoint)) error {
	<-ctx.Done()
	return ctx.Err()
}

// TestAnotherTransport: a transport that reads segments from a directory fills a real store, and is told what is
// flushed. Nothing beside the transport knows of sockets. What a primary said of itself before, which has a server_encoding,
// is not replaced by a member's version that only its WAL tells.
func TestAnotherTransport(t *testing.T) {
	g := walstoretest.New(walstoretest.Config{SegSize: lsn.MinSegSize})
	for range 40 {
		g.Record(100_000)
	}
	d := &directory{
		path: t.TempDir(), system: g.Source.System, interrupted: make(chan struct{}), grown: make(chan struct{}, 1),
	}
	for at := g.Start(); at < g.End(); at += lsn.LSN(d.size()) {
		if err := os.WriteFile(d.name(at, 1), g.Bytes(at, min(at+lsn.LSN(d.size()), g.End())), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first := g.Start() + lsn.LSN(d.size()) - 1
	d.grow(first)
	s := openStore(t, t.TempDir())
	up, err := upstream.Parse("host=127.0.0.1 port=1 user=u sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Upstream: up, Name: "px", Store: s, Via: d, Primary: d}
	o.Quorum = newRule(free())
	r, err := New(alone(o))
	if err != nil {
		t.Fatal(err)
	}
	s.OnMoved(r.Reporter())
	r.rcv.SetParameters(map[string]string{"server_version": "15.20", "server_encoding": "UTF8"})
	x := run(t, r)
	waitFlushed(t, s, first)
	d.grow(g.End())
	waitFlushed(t, s, g.End())
	x.await("the report", func(st Status) bool { return st.Reported.Flush == g.End() })
	d.mu.Lock()
	if d.reported.Flush != g.End() || d.reported.Write != g.End() {
		t.Errorf("the directory was told %+v of %s", d.reported, g.End())
	}
	d.mu.Unlock()
	if st := x.Status(); st.State != walreceiver.Streaming || st.Member == "" || st.System != d.system ||
		st.Parameters["server_version"] != "15.20" {
		t.Errorf("%+v", st)
	}
}
