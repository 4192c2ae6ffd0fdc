package physical

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/fanout"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// stoppingHub stops the server while it answers IDENTIFY_SYSTEM.
type stoppingHub struct {
	Hub
	stop context.CancelFunc
}

func (h stoppingHub) Identify() (fanout.Identity, error) {
	h.stop()
	return fanout.Identity{System: 7, Timeline: 1}, nil
}

func (stoppingHub) BackupBegins(fanout.SessionInfo) (end func()) { return func() {} }
func (stoppingHub) Yields(string) error                          { return nil }
func (stoppingHub) DropTemporary(int32)                          {}

type pidOnly struct{ Session }

func (pidOnly) PID() int32 { return 1 }

// A command that has arrived before the server stops, behind the one that runs, is refused in PostgreSQL's words; then
// the session is ended.
func TestCommandDuringStop(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	client, server := net.Pipe()
	defer server.Close()
	s := &session{
		h:      &Handler{o: Options{Hub: stoppingHub{stop: stop}, Logger: slog.New(slog.DiscardHandler)}},
		server: pidOnly{}, client: newClient(server), version: 150018,
	}
	heard := make(chan string, 1)
	go func() {
		const query = "Q\x00\x00\x00\x14IDENTIFY_SYSTEM\x00"
		_, _ = client.Write([]byte(query + query))
		all, _ := io.ReadAll(client)
		heard <- string(all)
	}()
	err := s.loop(ctx)
	server.Close()
	all := <-heard
	if e := pgerror.From(err); e.Code != pgerror.AdminShutdown || !e.IsFatal() {
		t.Errorf("the session ended with %v", err)
	}
	if strings.Count(all, "C55000\x00Mcannot execute new commands while WAL sender is in stopping mode\x00") != 1 ||
		strings.Count(all, "IDENTIFY_SYSTEM\x00Z") != 1 {
		t.Errorf("%q", all)
	}
}
