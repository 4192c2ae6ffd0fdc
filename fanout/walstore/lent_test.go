package walstore

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestSentWALKeepsItsBytes: what sendfile has put into a socket is the file's own pages. A segment is removed while a
// standby has not read all that was sent of it: what it reads later is still that WAL, not what was received since.
func TestSentWALKeepsItsBytes(t *testing.T) {
	s := openIn(t, t.TempDir())
	g := newGen()
	g.Fill(g.Start()+8<<20, rand.New(rand.NewPCG(1, 1)))
	begin(t, s, g)
	store(t, s, g, g.Start())
	from := g.Start() + 1<<20
	r, err := s.NewReader(1, from)
	if err != nil {
		t.Fatal(err)
	}
	c, err := r.Next(g.End(), 64<<10)
	if err != nil {
		t.Fatal(err)
	}
	f, is := c.OSFile()
	if !is {
		t.Fatal("the chunk is not in a file")
	}
	standby := sendFile(t, f, c.FileOffset, c.Len())
	r.Close()
	for range 3 { // the segment is removed, and others take its place
		if err := s.housekeepingStep(); err != nil {
			t.Fatal(err)
		}
		at := g.End()
		g.Fill(at+4<<20, rand.New(rand.NewPCG(2, 2)))
		store(t, s, g, at)
	}
	if s.Positions().Oldest <= from {
		t.Fatal("the segment is still there")
	}
	got := make([]byte, c.Len())
	if _, err := io.ReadFull(standby, got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, g.Bytes(c.Start, c.End)) {
		t.Errorf("WAL from %s to %s is other WAL by the time when the standby reads it", c.Start, c.End)
	}
}

// TestSentBeginningOfARecordKeepsItsBytes: WAL that ends inside a record is sent out of a file, and the primary gives
// that record up. What the standby reads of it later is still what it was sent. The next record is written where that
// one was, in the same process or after kill -9, which leaves the sockets to the kernel.
func TestSentBeginningOfARecordKeepsItsBytes(t *testing.T) {
	for name, drop := range map[string]func(*testing.T, *Store, string) *Store{
		"in the same process": func(t *testing.T, s *Store, _ string) *Store {
			if _, err := s.DropIncomplete(); err != nil {
				t.Fatal(err)
			}
			return s
		},
		"after kill -9": func(t *testing.T, s *Store, dir string) *Store {
			_ = s.Close()
			s = openIn(t, dir)
			if _, err := s.DropIncomplete(); err != nil {
				t.Fatal(err)
			}
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			rnd, dir := rand.New(rand.NewPCG(5, 9)), t.TempDir()
			old := newGen()
			old.Fill(old.Start()+5<<19, rnd)
			whole := old.Record(100).End
			old.Record(8 << 20) // more than the tail
			again := old.Again(whole)
			again.Fill(again.End()+1<<20, rnd)
			s := openIn(t, dir)
			begin(t, s, old)
			sendUpTo(t, s, old, (old.End() - 1).PageStart())
			drain(t, s)
			r, err := s.NewReader(1, whole.PageStart())
			if err != nil {
				t.Fatal(err)
			}
			c, err := r.Next(s.Positions().Received, 64<<10)
			if err != nil || c.File == nil || c.End <= whole {
				t.Fatalf("chunk [%s, %s) in %v: %v", c.Start, c.End, c.File, err)
			}
			standby := sendChunk(t, &c)
			r.Close()
			s = drop(t, s, dir)
			start(t, s, 1, testSeg.Floor(whole))
			store(t, s, again, testSeg.Floor(whole))
			got := make([]byte, c.Len())
			if _, err := io.ReadFull(standby, got); err != nil {
				t.Fatal(err)
			}
			if want := old.Bytes(c.Start, c.End); !bytes.Equal(got, want) {
				t.Errorf("WAL from %s on is other WAL by the time when the standby reads it", c.Start+firstDifference(got, want))
			}
		})
	}
}

// TestOnlyWhatMayBeRewrittenIsCopied: sendfile takes all other WAL that lies in files.
func TestOnlyWhatMayBeRewrittenIsCopied(t *testing.T) {
	g := newGen()
	g.Fill(g.Start()+5<<20, rand.New(rand.NewPCG(5, 9)))
	s := openIn(t, t.TempDir())
	begin(t, s, g)
	store(t, s, g, g.Start())
	_ = s.Close()
	s = openIn(t, s.dir)
	r, err := s.NewReader(1, g.Start())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for complete := s.Positions().Complete; r.Pos() < complete; {
		c, err := r.Next(complete, 64<<10)
		if _, is := c.OSFile(); err != nil || !is {
			t.Fatalf("chunk [%s, %s) is copied: %v", c.Start, c.End, err)
		}
	}
}

func openIn(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(context.Background(), Options{Dir: dir, TailSize: MinTailSize})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// sendChunk sends c as a walsender does, by sendfile where it may, and returns the connection's other end.
func sendChunk(t *testing.T, c *Chunk) net.Conn {
	t.Helper()
	if f, is := c.OSFile(); is {
		return sendFile(t, f, c.FileOffset, c.Len())
	}
	b, err := c.Bytes(make([]byte, c.Len()))
	if err != nil {
		t.Fatal(err)
	}
	out, in := connection(t)
	if _, err := out.Write(b); err != nil {
		t.Fatal(err)
	}
	return in
}

// connection makes two ends, of which the second waits at most a minute.
func connection(t *testing.T) (*net.TCPConn, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	out, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close() })
	_ = in.SetReadDeadline(time.Now().Add(time.Minute))
	return out.(*net.TCPConn), in
}

// sendFile sends a part of f into a connection and returns its other end, from which nothing has been read.
func sendFile(t *testing.T, f *os.File, offset int64, n int) net.Conn {
	t.Helper()
	out, in := connection(t)
	raw, err := out.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var sent int
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		sent, failed = unix.Sendfile(int(fd), int(f.Fd()), &offset, n)
		return true
	})
	if err != nil || failed != nil || sent != n {
		t.Fatalf("sent %d of %d bytes: %v, %v", sent, n, err, failed)
	}
	return in
}
