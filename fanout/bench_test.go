package fanout

import (
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/wire"
)

// BenchmarkFanOut sends the whole WAL of a store to 1, 16 and 64 receivers over loopback TCP, all of
// them at once, from the tail or from segment files. MB/s is the sum over the receivers.
func BenchmarkFanOut(b *testing.B) {
	const size = 48 << 20
	for _, from := range []string{"tail", "disk"} {
		w := newWorld(b, nil)
		if from == "tail" {
			w.tail = 64 << 20
		}
		w.restart().adopt()
		for w.end < w.gen.Start()+size {
			w.grow(4 << 20)
		}
		start, end := w.gen.Start(), w.end
		for _, receivers := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("%s/receivers=%d", from, receivers), func(b *testing.B) {
				b.SetBytes(int64(end-start) * int64(receivers))
				for b.Loop() {
					w.receiveAll(b, receivers, start, end)
				}
			})
		}
		for _, s := range w.hub.Standbys() {
			b.Errorf("still attached: %+v", s)
		}
	}
}

// receiveAll attaches receivers that read and drop WAL up to end, and waits for all.
func (w *world) receiveAll(b *testing.B, receivers int, start, end lsn.LSN) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	defer l.Close()
	var wg sync.WaitGroup
	for pid := range int32(receivers) {
		wg.Go(func() {
			conn, err := l.Accept()
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Close()
			_, _ = w.hub.StartReplication(b.Context(), StartRequest{At: start},
				SessionInfo{PID: pid, WalSenderTimeout: time.Minute}, Conn{Net: conn, Frames: wire.NewReader(conn, 4096)})
		})
		wg.Go(func() {
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Close()
			if err := receive(wire.NewReader(conn, 64<<10), int64(end-start)); err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
}

// receive drops CopyData until wal bytes of WAL came.
func receive(frames *wire.Reader, wal int64) error {
	for wal > 0 {
		h, err := frames.Next()
		if err != nil {
			return err
		}
		if h.Type == 'd' && h.Size > copyboth.XLogDataHeaderSize {
			wal -= int64(h.Size - copyboth.XLogDataHeaderSize)
		}
		if _, err := frames.Body(h.Size, 1<<20); err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkLive is cut-through: one message of 8 KiB comes in, the iteration ends when the last of the
// receivers has it.
func BenchmarkLive(b *testing.B) {
	for _, receivers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("receivers=%d", receivers), func(b *testing.B) {
			w := newWorld(b, nil).adopt()
			begin := w.end
			live, got := make([]chan lsn.LSN, receivers), make(chan struct{}, receivers)
			for pid := range int32(receivers) {
				s := w.standby(pid, StartRequest{At: begin})
				s.expect(copyBoth)
				ends := make(chan lsn.LSN, 1)
				live[pid] = ends
				go func() {
					for end := range ends {
						if err := receive(s.frames, int64(end-s.at)); err != nil {
							b.Error(err)
						}
						s.at = end
						got <- struct{}{}
					}
				}()
			}
			b.ReportAllocs()
			b.SetBytes(int64(lsn.PageSize * receivers))
			for b.Loop() {
				w.page()
				for _, c := range live {
					c <- w.end
				}
				for range live {
					<-got
				}
			}
			for _, c := range live {
				close(c)
			}
		})
	}
}

// heardVoter tells of each report.
type heardVoter struct {
	loggedVoter
	heard chan lsn.LSN
}

func (v heardVoter) Report(_ time.Time, _ lsn.TimelineID, _ lsn.LSN, said lsn.Progress, _ bool) {
	v.heard <- said.Flush
}

// BenchmarkStatusUpdate is the way of a reply from a standby's socket to its voter, while so many are attached. They
// reply one after the other.
func BenchmarkStatusUpdate(b *testing.B) {
	for _, n := range []int{5, 50, 500} {
		b.Run(fmt.Sprintf("standbys=%d", n), func(b *testing.B) {
			heard := make(chan lsn.LSN)
			w := newWorld(b, func(o *Options) {
				o.Voter = func(name string) Voter { return heardVoter{loggedVoter{&ackLog{}, name}, heard} }
			}).adopt().grow(1 << 20)
			all := make([]*standby, n)
			for i := range all {
				all[i] = w.standby(int32(i+1), StartRequest{At: w.gen.Start()})
				all[i].expect(copyBoth)
				all[i].until(w.end)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				all[i%n].reply(w.end)
				<-heard
			}
		})
	}
}
