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
	s, err := Open(context.Background(), Options{Dir: t.TempDir(), TailSize: MinTailSize})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	g := newGen()
	g.Fill(g.Start()+8<<20, rand.New(rand.NewPCG(1, 1)))
	begin(t, s, g)
	send(t, s, g, g.Start())
	drain(t, s)
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
		send(t, s, g, at)
		drain(t, s)
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

// sendFile sends a part of f into a connection and returns its other end, from which nothing has been read.
func sendFile(t *testing.T, f *os.File, offset int64, n int) net.Conn {
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
	raw, err := out.(*net.TCPConn).SyscallConn()
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
