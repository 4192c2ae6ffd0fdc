package hangup_test

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/replproxy/replproxy/internal/hangup"
)

// TestEndSide: the peer reads what was written before the end, and can still answer.
func TestEndSide(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	io.WriteString(client, "bye")
	if err := hangup.EndSide(client); err != nil {
		t.Fatal(err)
	}
	if said, err := io.ReadAll(server); err != nil || string(said) != "bye" {
		t.Errorf("the server got %q, %v", said, err)
	}
	io.WriteString(server, "bye")
	server.Close()
	if said, err := io.ReadAll(client); err != nil || string(said) != "bye" {
		t.Errorf("the client got %q, %v", said, err)
	}
	a, b := net.Pipe()
	defer b.Close()
	if err := hangup.EndSide(a); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("of a pipe: %v", err)
	}
	if err := a.SetDeadline(time.Time{}); err != nil {
		t.Errorf("the pipe is closed: %v", err)
	}
}
