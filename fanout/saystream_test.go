package fanout

import (
	"log/slog"
	"strings"
	"testing"
)

// TestStreamsAreTold: the log has when a standby begins to stream, and when and why it ends; a start that is refused
// has neither.
func TestStreamsAreTold(t *testing.T) {
	var said syncBuffer
	w := newWorld(t, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&said, nil)) }).adopt().grow(100_000)
	begins := func() int { return strings.Count(said.String(), `msg="a standby begins to stream"`) }
	ends := func(why string) bool {
		return strings.Contains(said.String(), `msg="a standby ends streaming" application_name=standby_1`) &&
			strings.Contains(said.String(), "why=\""+why+"\"")
	}
	s := w.standby(1, StartRequest{At: w.gen.Start()})
	s.expect(copyBoth)
	s.until(w.end)
	s.leave()
	w.waitFor("the end of one that left", func() bool { return begins() == 1 && ends("unexpected EOF on standby connection") })
	s = w.standby(1, StartRequest{At: w.gen.Start()})
	s.expect(copyBoth)
	s.until(w.end)
	s.cancel(ErrDrain)
	s.write('c', nil)
	_ = s.ended()
	w.waitFor("the end of one that is drained", func() bool { return begins() == 2 && strings.Count(said.String(), "ends streaming") == 2 })
	refused := w.standby(1, StartRequest{At: w.end + 10<<20})
	_ = refused.ended()
	if begins() != 2 {
		t.Errorf("a refused start has begun:\n%s", said.String())
	}
}
