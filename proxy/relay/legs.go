package relay

import (
	"bytes"
	"net"
	"sync/atomic"
)

// maxParameters bounds the parameters that are remembered of one log-in; servers send about fifteen.
const maxParameters = 64

// Legs are the connections of a session that has logged in, for [Options.Serve].
type Legs struct {
	Client, Upstream net.Conn
	// Endpoint is the server's, as in the log, and PID is what it calls the session; 0: it has not said.
	Endpoint string
	PID      uint32
	// ClientAhead and UpstreamAhead have been read of them already, and not been passed on.
	ClientAhead, UpstreamAhead []byte
	// Parameters has the parameters that the primary reported during the log-in.
	Parameters map[string]string
	// Proven: the client has answered a question of the primary, or proved itself to us. Else a rule lets it in.
	Proven bool
	// FromClient and ToClient are counted up as bytes pass.
	FromClient, ToClient *atomic.Int64
}

func newLegs(client, upstream *leg, params parameters, proven bool, pid uint32, o *Options) Legs {
	return Legs{
		Client: client.Conn, Upstream: upstream.Conn, Endpoint: o.Upstream.Name, PID: pid,
		ClientAhead: client.ahead(), UpstreamAhead: upstream.ahead(),
		Parameters: params, Proven: proven, FromClient: o.FromClient, ToClient: o.ToClient,
	}
}

// ahead returns a copy of what was read ahead.
func (l *leg) ahead() []byte {
	b, _ := l.r.Peek(l.r.Buffered())
	return bytes.Clone(b)
}

// parameters holds the parameters of one log-in; nil remembers nothing.
type parameters map[string]string

// note remembers the body of a ParameterStatus.
func (p parameters) note(body []byte) {
	name, rest, ok := bytes.Cut(body, []byte{0})
	value, _, ok2 := bytes.Cut(rest, []byte{0})
	if p == nil || !ok || !ok2 {
		return
	}
	if _, known := p[string(name)]; known || len(p) < maxParameters {
		p[string(name)] = string(value)
	}
}
