package handshake

import (
	"encoding/binary"
	"strings"

	"github.com/replproxy/replproxy/internal/wire"
)

// Append appends the message.
func (n *Negotiate) Append(b []byte) []byte {
	body := binary.BigEndian.AppendUint32(nil, n.Version)
	body = binary.BigEndian.AppendUint32(body, uint32(len(n.Options)))
	for _, o := range n.Options {
		body = append(append(body, o...), 0)
	}
	return wire.AppendFrame(b, 'v', body)
}

// Negotiate serves those that answer a request before a server does. It returns the message that a server whose newest
// minor version is newest would send first, nil for none. It also returns a startup packet with the client's
// parameters that leaves such a server nothing to negotiate.
func (r *Request) Negotiate(newest uint16) (*Negotiate, []byte) {
	n := negotiate(r.Minor, newest, r.Params)
	if n == nil {
		return nil, r.Raw
	}
	b := binary.BigEndian.AppendUint32(make([]byte, lengthSize), n.Version)
	for _, p := range r.Params {
		if !strings.HasPrefix(p.Name, protocolOptionPrefix) {
			b = append(append(append(append(b, p.Name...), 0), p.Value...), 0)
		}
	}
	b = append(b, 0)
	binary.BigEndian.PutUint32(b, uint32(len(b)))
	return n, b
}
