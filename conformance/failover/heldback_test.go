package failover

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// holdWAL is a way to a server on which no WAL comes back before the test says so; everything before WAL does.
type holdWAL struct {
	net.Listener
	to   string
	held chan struct{} // closed: WAL is held, for the first time
	open chan struct{} // closed by the test
}

func newHoldWAL(t *testing.T, s *pgtest.Server) *holdWAL {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &holdWAL{l, fmt.Sprintf("127.0.0.1:%d", s.Port), make(chan struct{}), make(chan struct{})}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go h.pass(c)
		}
	}()
	return h
}

func (h *holdWAL) port() int { return h.Addr().(*net.TCPAddr).Port }

func (h *holdWAL) pass(c net.Conn) {
	defer c.Close()
	s, err := net.Dial("tcp", h.to)
	if err != nil {
		return
	}
	defer s.Close()
	go func() {
		_, _ = io.Copy(s, c)
		s.(*net.TCPConn).CloseWrite()
	}()
	copyBoth := []byte{'W', 0, 0, 0, 7, 0, 0, 0}
	b := make([]byte, 64<<10)
	for {
		n, err := s.Read(b)
		if i := bytes.Index(b[:n], copyBoth); i >= 0 {
			_, _ = c.Write(b[:i+len(copyBoth)])
			b = b[i+len(copyBoth):]
			n -= i + len(copyBoth)
			select {
			case <-h.held:
			default:
				close(h.held)
			}
			<-h.open
		}
		if _, werr := c.Write(b[:n]); err != nil || werr != nil {
			return
		}
		b = b[:cap(b)]
	}
}

// TestNothingBeyondAKnownFork: the proxy knows the history of a new timeline, and that timeline's first WAL is held
// back, so that it can move nothing aside yet. A standby that attaches meanwhile gets nothing beyond the fork, and
// follows (ruling R3).
func TestNothingBeyondAKnownFork(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	settings := pgtest.Settings("wal_keep_size = 1GB", "max_wal_size = 1GB")
	primary := in.Primary(t, settings)
	candidate := in.Standby(t, pgtest.StandbyOptions{From: primary}, settings, pgtest.Name("candidate"))
	way := newHoldWAL(t, candidate)
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: fmt.Sprintf(
		"host=127.0.0.1,127.0.0.1 port=%d,%d user=postgres dbname=postgres", primary.Port, way.port())})
	primary.Exec(t, scene.LoadTable)
	late := scene.StandbyOf(t, primary, proxy, "late", "", settings)
	pgtest.WaitCaughtUp(t, primary, candidate)
	pgtest.WaitCaughtUp(t, primary, late)
	late.Stop(t, pgtest.Fast)
	scene.WriteWAL(t, primary, 4)
	pgtest.WaitCaughtUp(t, primary, candidate)
	candidate.Stop(t, pgtest.Fast)
	scene.WriteWAL(t, primary, 4)
	end := primary.CurrentLSN(t)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the proxy to have it all", func() (bool, error) {
		return scene.Status(t, proxy).Store.Flushed >= end, nil
	})
	primary.Kill9(t)
	candidate.Start(t)
	candidate.Promote(t)
	select {
	case <-way.held:
	case <-time.After(pgtest.ReplayTimeout):
		t.Fatal("the proxy never came to the new timeline's WAL")
	}
	history, err := os.ReadFile(filepath.Join(candidate.WALDir(), "00000002.history"))
	if err != nil {
		t.Fatal(err)
	}
	fork := scene.ParseLSN(t, strings.Fields(string(history))[1])
	late.Start(t)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the late standby to have what it gets", func() (bool, error) {
		rows := scene.Attached(t, proxy, "late")
		if rows[0].Sent > fork {
			return false, fmt.Errorf("sent %s, beyond the fork at %s", rows[0].Sent, fork)
		}
		return rows[0].Flush == fork, nil
	})
	if st := scene.Status(t, proxy); st.Store.Timeline != 1 || st.Store.Received < end {
		t.Errorf("the store is at %+v already", st.Store)
	}
	if got := scene.Command(t, proxy, "IDENTIFY_SYSTEM")[0][2]; got != fork.String() {
		t.Errorf("IDENTIFY_SYSTEM says %s, the fork is at %s", got, fork)
	}
	close(way.open)
	c := &scene.Cluster{In: in, Primary: primary, Candidate: candidate, Proxy: proxy}
	scene.Write(t, candidate, 5)
	c.Follows(t, candidate, 2, late)
}
