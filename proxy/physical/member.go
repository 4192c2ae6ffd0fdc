package physical

import (
	"crypto/rand"
	"encoding/binary"
	"maps"
	"net"
	"slices"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/wire"
)

// memberKey is the size of the cancel key that a member of the cluster gets, as in protocol 3.0.
const memberKey = 4

// member is the name of the member of the cluster at the other end of a connection that has proved it; ""
// for everybody else.
func member(conn net.Conn) string {
	if m, ok := conn.(interface{ Member() string }); ok {
		return m.Member()
	}
	return ""
}

// welcome answers the log-in of a member: it has proved who it is, and has the same WAL as we. What the
// primary would have told it is what the primary told us. Its application_name is its node name, so that
// it never votes by this session (ruling R21).
func (s *session) welcome(name string) error {
	if s.h.o.Parameters == nil {
		return pgerror.Fatal(pgerror.FeatureNotSupported, "members of the cluster are not served here")
	}
	known := s.h.o.Parameters()
	if known["server_version"] == "" {
		return pgerror.Fatal(pgerror.CannotConnectNow, "the database system is starting up").
			WithDetail("This proxy has not been connected to its primary yet.")
	}
	s.parameters = maps.Clone(known)
	s.parameters["application_name"] = name
	b := wire.AppendFrame(nil, 'R', make([]byte, 4)) // AuthenticationOk
	for _, p := range slices.Sorted(maps.Keys(s.parameters)) {
		b = wire.AppendFrame(b, 'S', []byte(p+"\x00"+s.parameters[p]+"\x00"))
	}
	key := make([]byte, memberKey)
	_, _ = rand.Read(key) // never fails
	s.withdraw = s.server.OnCancel(key, s.cancel)
	body := append(binary.BigEndian.AppendUint32(nil, uint32(s.server.PID())), key...)
	return s.send(appendReady(wire.AppendFrame(b, 'K', body)))
}
