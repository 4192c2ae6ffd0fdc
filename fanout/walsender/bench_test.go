package walsender

import (
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// sink reads and drops what comes, as a standby that never is the bottleneck.
func drop(conn net.Conn) {
	b := make([]byte, 1<<20)
	for {
		if _, err := conn.Read(b); err != nil {
			return
		}
	}
}

// loopReader serves the same stretch of a fake store again and again under growing positions, without
// allocating.
type loopReader struct {
	fakeReader
	chunk walstore.Chunk
}

func (r *loopReader) Next(limit lsn.LSN, max int) (walstore.Chunk, error) {
	c := r.chunk
	c.Start, c.End = r.at, min(limit, r.at+lsn.LSN(r.chunk.Len()))
	r.at = c.End
	return c, nil
}

// loopStore is a store without end.
type loopStore struct {
	*fakeStore
	chunk walstore.Chunk
}

func (s *loopStore) NewReader(_ lsn.TimelineID, at lsn.LSN) (Reader, error) {
	s.mu.Lock()
	s.readers++
	s.mu.Unlock()
	return &loopReader{fakeReader{s.fakeStore, at}, s.chunk}, nil
}

func newLoopStore(t testing.TB, disk bool, message int) *loopStore {
	s := newFakeStore(t, base, maxPayload)
	c := walstore.Chunk{Start: base, End: base + lsn.LSN(message)}
	if disk {
		c.File = &vfs.OSFile{File: s.onDisk(t).file}
	} else {
		c.Mem = [2][]byte{s.wal[:message/2], s.wal[message/2 : message]}
	}
	return &loopStore{s, c}
}

// TestNoAllocations: in steady state a message costs no allocation, from memory or from a file.
func TestNoAllocations(t *testing.T) {
	for _, disk := range []bool{false, true} {
		for _, message := range []int{100, maxPayload} {
			t.Run(fmt.Sprintf("disk=%v message=%d", disk, message), func(t *testing.T) {
				store := newLoopStore(t, disk, message)
				server, client := tcpPair(t)
				defer server.Close()
				var wg sync.WaitGroup
				wg.Go(func() { drop(client) })
				defer wg.Wait()
				defer client.Close()
				s := New(Options{
					Conn: Conn{Net: server}, Session: Session{WalSenderTimeout: time.Minute},
					Store: store, Open: store.NewReader, Plan: Plan{Timeline: 1, Start: base}, SegSize: lsn.DefaultSegSize,
				})
				one := func() {
					store.received += lsn.LSN(message)
					a, err := s.decide()
					if err == nil {
						err = s.act(a)
					}
					if err != nil || a.kind != doSend {
						t.Fatal(a, err)
					}
					s.statusUpdate(copyboth.StatusUpdate{Progress: lsn.Progress{Write: store.received}}, time.Now())
				}
				for range 2 * lagSamples { // buffers of the lag trackers reach their size
					one()
				}
				defer func() { s.reader.Close() }()
				if n := testing.AllocsPerRun(200, one); n != 0 {
					t.Errorf("%v allocations per message", n)
				}
			})
		}
	}
}

// BenchmarkSender is one sender to one receiver over loopback TCP: bytes of WAL per second.
func BenchmarkSender(b *testing.B) {
	for _, disk := range []bool{false, true} {
		for _, message := range []int{512, 8192, maxPayload} {
			b.Run(fmt.Sprintf("disk=%v/message=%d", disk, message), func(b *testing.B) {
				store := newLoopStore(b, disk, message)
				server, client := tcpPair(b)
				defer server.Close()
				var wg sync.WaitGroup
				wg.Go(func() { drop(client) })
				defer wg.Wait()
				defer client.Close()
				s := New(Options{
					Conn: Conn{Net: server}, Session: Session{WalSenderTimeout: time.Minute},
					Store: store, Open: store.NewReader, Plan: Plan{Timeline: 1, Start: base}, SegSize: lsn.DefaultSegSize,
				})
				b.SetBytes(int64(message))
				b.ReportAllocs()
				store.received = base + lsn.LSN(message)*lsn.LSN(b.N)
				b.ResetTimer()
				for s.core.sent < store.received {
					a, err := s.decide()
					if err == nil {
						err = s.act(a)
					}
					if err != nil {
						b.Fatal(err)
					}
				}
				b.StopTimer()
				s.reader.Close()
			})
		}
	}
}
