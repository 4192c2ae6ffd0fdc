package descriptors

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"syscall"
	"testing"
)

func TestBudget(t *testing.T) {
	for _, tc := range []struct {
		limit, clients int
		works          bool
	}{{0, 0, true}, {63, 42, false}, {64, 43, true}, {100, 67, true}, {200, 134, true}, {1024, 928, true}} {
		b := Budget{tc.limit}
		if b.Clients() != tc.clients || (b.Check() == nil) != tc.works {
			t.Errorf("%d: %d for clients, %v", tc.limit, b.Clients(), b.Check())
		}
	}
	for limit, want := range map[int]bool{0: false, 200: true, 1024: true, 1 << 20: false} {
		if n, fewer := (Budget{limit}).Sessions(4096); fewer != want || n < 0 || fewer && 2*n > limit {
			t.Errorf("%d: %d sessions, fewer %v", limit, n, fewer)
		}
	}
}

// A connection's number says how many are in use.
func TestTight(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	n := number(conn)
	if n <= int(os.Stderr.Fd()) {
		t.Fatalf("number %d", n)
	}
	for limit, want := range map[int]bool{0: false, 10 * (n + 1): false, n + 2 + n/4: true, n + 1: true} {
		if got := (Budget{limit}).Tight(conn); got != want {
			t.Errorf("number %d of %d: %v, want %v", n, limit, got, want)
		}
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if (Budget{1}).Tight(a) {
		t.Error("a pipe within the process counts")
	}
}

func TestRaise(t *testing.T) {
	b, err := Raise()
	if err != nil || b.Check() != nil {
		t.Fatalf("%+v, %v, %v", b, err, b.Check())
	}
}

// broken is a listener whose accept fails in each way that passes.
type broken struct {
	net.Listener
	errs []error
}

func (b *broken) Accept() (net.Conn, error) {
	if len(b.errs) == 0 {
		return b.Listener.Accept()
	}
	err := b.errs[0]
	b.errs = b.errs[1:]
	return nil, &net.OpError{Op: "accept", Err: err}
}

func TestPatient(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var errs []error
	for _, e := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS, syscall.ECONNABORTED, syscall.EAGAIN} {
		errs = append(errs, os.NewSyscallError("accept4", e))
	}
	p := Patient(&broken{l, errs}, slog.New(slog.DiscardHandler))
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := p.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	p.Close()
	if _, err := p.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

func TestIsShort(t *testing.T) {
	for err, want := range map[error]bool{
		&os.PathError{Op: "open", Err: syscall.EMFILE}: true, fmt.Errorf("x: %w", syscall.ENFILE): true,
		syscall.EIO: false, syscall.ENOSPC: false, nil: false,
	} {
		if IsShort(err) != want {
			t.Errorf("%v", err)
		}
	}
}
