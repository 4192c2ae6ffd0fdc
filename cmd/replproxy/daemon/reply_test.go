package daemon

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/fanout"
	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/wire"
)

// What cmd plugs together is the other side's type itself: nothing here only hands on.
var (
	_ fanout.Voter       = (*cluster.Session)(nil)
	_ walreceiver.Quorum = (*cluster.Node)(nil)
)

// sent is a report to the upstream: its flush position, and which packages of this module were on the stack of the
// goroutine that sent it, innermost first.
type sent struct {
	flush lsn.LSN
	by    []string
}

// primary is a Conn that sends messages of WAL, then nothing, and takes reports.
type primary struct {
	walreceiver.Conn
	messages []walstoretest.Message
	next     walstoretest.Message
	reports  chan sent
	over     chan struct{}
}

func (p *primary) Start(context.Context, string, walreceiver.StartPoint) (bool, walreceiver.StartPoint, error) {
	return true, walreceiver.StartPoint{}, nil
}

func (p *primary) Receive() (m walreceiver.Message, err error) {
	if len(p.messages) == 0 {
		<-p.over
		return m, io.EOF
	}
	p.next, p.messages = p.messages[0], p.messages[1:]
	m.Kind, m.Start, m.Size, m.WALEnd = 'w', p.next.At, len(p.next.Data), p.next.End()
	return m, nil
}

func (p *primary) Read(b []byte) (int, error) {
	n := copy(b, p.next.Data)
	p.next.Data = p.next.Data[n:]
	return n, nil
}

func (p *primary) Send(b []byte, _ time.Duration) error {
	if m, err := copyboth.DecodeStatusUpdate(b); err == nil {
		p.reports <- sent{m.Flush, packagesOnStack()}
	}
	return nil
}

func (p *primary) Offer(b []byte, d time.Duration) (bool, error) { return true, p.Send(b, d) }
func (p *primary) Finish(time.Duration) error                    { return nil }
func (p *primary) Endpoint() (e upstream.Endpoint)               { return e }
func (p *primary) Parameters() map[string]string                 { return nil }
func (p *primary) Interrupt()                                    { close(p.over) }
func (p *primary) Leave()                                        {}
func (p *primary) Slots(int) (none walreceiver.Slots)            { return none }

// packagesOnStack returns the packages of this module that the caller's callers are in, this one apart.
func packagesOnStack() (all []string) {
	const module = "github.com/replproxy/replproxy/"
	var at [64]uintptr
	for frames := runtime.CallersFrames(at[:runtime.Callers(2, at[:])]); ; {
		f, more := frames.Next()
		dir, name := filepath.Split(strings.TrimPrefix(f.Function, module))
		name, _, _ = strings.Cut(name, ".")
		if in := dir + name; strings.HasPrefix(f.Function, module) && in != "cmd/replproxy/daemon" && !slices.Contains(all, in) {
			all = append(all, in)
		}
		if !more {
			return all
		}
	}
}

// gateway is a store, a node whose rule names the standby s, and that standby's session, between a primary that sends
// WAL and a connection that the test answers on.
type gateway struct {
	gen     *walstoretest.Generator
	store   *walstore.Store
	primary *primary
	standby net.Conn
}

// runGateway runs one over a file system until the test is over. written is Options.Written of the walreceiver. begun is
// called before WAL comes.
func runGateway(t *testing.T, fsys walstore.FS, written func() bool, begun func()) *gateway {
	t.Helper()
	gen := walstoretest.New(walstoretest.Config{SegSize: lsn.MinSegSize, Start: lsn.LSN(3 * lsn.MinSegSize)})
	gen.Fill(gen.Start()+100_000, rand.New(rand.NewPCG(1, 1)))
	store, err := walstore.Open(t.Context(), walstore.Options{Dir: t.TempDir(), FS: fsys})
	must(t, err)
	t.Cleanup(func() { store.Close() })
	must(t, store.Adopt(walstore.Identity{System: gen.Source.System, SegSize: gen.Source.SegSize, ServerMajor: gen.Source.Major}))
	must(t, store.StartStream(gen.Timeline(), gen.Start()))
	slots, err := slot.Open(t.TempDir(), slot.Options{})
	must(t, err)
	watch := store.Watch(walstore.MovedWritten | walstore.MovedFlushed)
	t.Cleanup(watch.Close)
	node, err := cluster.New(cluster.Options{Name: "p", Rule: vote.RuleText{Names: "s"}, Store: &ownStore{
		store: store, watch: watch, streams: func() (string, bool) { return "", true },
	}})
	must(t, err)
	receiver, err := walreceiver.New(walreceiver.Options{Store: store, Quorum: node, Written: written})
	must(t, err)
	node.OnReport(receiver.ReportNow)
	hub := fanout.New(fanout.Options{Store: store, Slots: slots, Voter: func(name string) fanout.Voter { return node.Session(name) }})
	p := &primary{
		messages: gen.Messages(gen.Start(), nil), reports: make(chan sent, 1000), over: make(chan struct{}),
	}
	from := walreceiver.StartPoint{Timeline: gen.Timeline(), At: gen.Start()}
	stream := receiver.Attach(p, walreceiver.Server{}, walreceiver.Link{})
	t.Cleanup(stream.Close)
	_, _, err = stream.Start(t.Context(), from)
	must(t, err)
	begun()
	here, there := tcpPair(t)
	runAll(t, store.Run, node.Run, func(ctx context.Context) error {
		_, err := stream.Copy(ctx, walreceiver.Copy{From: from})
		return err
	}, func(ctx context.Context) error {
		_, err := hub.StartReplication(ctx, fanout.StartRequest{At: gen.Start()},
			fanout.SessionInfo{PID: 1, ApplicationName: "s", WalSenderTimeout: time.Minute},
			fanout.Conn{Net: here, Frames: wire.NewReader(here, 4096)})
		here.Close()
		return err
	})
	go io.Copy(io.Discard, there)
	pgtest.WaitFor(t, time.Minute, "the standby", func() (bool, error) {
		all := hub.Standbys()
		return len(all) == 1 && all[0].Sent == gen.End(), nil
	})
	return &gateway{gen: gen, store: store, primary: p, standby: there}
}

// acknowledges has the standby say that it has flushed and applied WAL up to at.
func (g *gateway) acknowledges(t *testing.T, at lsn.LSN) {
	t.Helper()
	m := copyboth.StatusUpdate{Progress: lsn.Progress{Write: at, Flush: at, Apply: at}}
	_, err := g.standby.Write(wire.AppendFrame(nil, 'd', m.Append(nil)))
	must(t, err)
}

// TestWayOfAReply: the goroutine that reads a standby's reply sends the report that follows from it, and nothing lies
// between the walsender, the node of the cluster and the walreceiver. ARCHITECTURE.md has the way as a picture.
func TestWayOfAReply(t *testing.T) {
	g := runGateway(t, vfs.OS{}, nil, func() {})
	end := g.gen.End()
	pgtest.WaitFor(t, time.Minute, "the store", func() (bool, error) { return g.store.Positions().Flushed == end, nil })
	way := []string{"fanout/walreceiver", "cluster", "fanout/walsender"}
	for at := end - 1000; at <= end; at++ { // the first one is promised durably before, by the reporter
		g.acknowledges(t, at)
		for got := (sent{}); got.flush != at; {
			got = <-g.primary.reports
			if got.flush == at && slices.Equal(got.by, way) {
				return
			}
			if slices.Contains(got.by, "fanout/walsender") {
				t.Fatalf("%s was reported by way of %v, expected %v", got.flush, got.by, way)
			}
		}
	}
	t.Error("no report was sent by the goroutine that read the reply")
}

// TestWrittenReports: with wal.report: written a report follows the standby's while this proxy's disk hangs (ruling
// R42). The bound that it needs is on the disk by then.
func TestWrittenReports(t *testing.T) {
	disk, hangs := vfs.NewFault(vfs.OS{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(hangs) })
	t.Cleanup(release)
	g := runGateway(t, disk, func() bool { return true }, func() {
		disk.Set(func(op vfs.Op, name string) error {
			if op == vfs.OpSync && strings.Contains(name, "/wal/") {
				<-hangs
			}
			return nil
		})
		t.Cleanup(func() { disk.Set(nil) })
	})
	end := g.gen.End()
	pgtest.WaitFor(t, time.Minute, "the store", func() (bool, error) { return g.store.Positions().Written == end, nil })
	g.acknowledges(t, end)
	for got := (sent{}); got.flush != end; {
		select {
		case got = <-g.primary.reports:
		case <-time.After(time.Minute):
			t.Fatalf("no report of %s comes while the disk hangs", end)
		}
	}
	if p := g.store.Positions(); p.Flushed >= end || g.store.Promised().Owes < end {
		t.Errorf("%+v, owes %s: the disk did not hang, or no bound is durable", p, g.store.Promised().Owes)
	}
	release()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tcpPair returns both ends of a connection.
func tcpPair(t *testing.T) (here, there net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	here, err = net.Dial("tcp", l.Addr().String())
	must(t, err)
	there, err = l.Accept()
	must(t, err)
	t.Cleanup(func() { here.Close(); there.Close() })
	return here, there
}

// runAll runs parts until the test is over.
func runAll(t *testing.T, parts ...func(context.Context) error) {
	t.Helper()
	for _, run := range parts {
		ctx, cancel := context.WithCancelCause(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); _ = run(ctx) }()
		t.Cleanup(func() { cancel(errors.New("test over")); <-done })
	}
}
