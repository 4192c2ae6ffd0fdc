package physical

import (
	"crypto/rand"
	"encoding/binary"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/wire"
)

// ownKey is the size of the cancel keys that are made here without the primary, as in protocol 3.0: that is good
// for every version.
const ownKey = 4

// member returns the name of the member of the cluster at the other end of a connection that has proved it; "" for
// everybody else.
func member(conn net.Conn) string {
	if m, ok := conn.(interface{ Member() string }); ok {
		return m.Member()
	}
	return ""
}

// welcome answers the log-in of a member: it has proved who it is, and has the same WAL as we. What the
// primary would have told it is what the primary told us. While that has told nothing it is what the WAL tells: the
// primary may be gone, and this proxy have been restarted since. Its application_name is its node name, so that it
// never votes by this session (ruling R21).
func (s *session) welcome(name string) error {
	if s.h.o.Parameters == nil {
		return pgerror.Fatal(pgerror.FeatureNotSupported, "members of the cluster are not served here")
	}
	if err := s.learn(); err != nil && !s.learnStored() {
		return err
	}
	s.parameters["application_name"] = name
	s.until = time.Now() // another member may have it
	return s.greet()
}

// learn takes over the primary's settings from this proxy's own stream; 57P03 before there was one.
func (s *session) learn() error {
	known := s.h.o.Parameters()
	if known["server_version"] == "" {
		return pgerror.Fatal(pgerror.CannotConnectNow, "the database system is starting up").
			WithDetail("This proxy has not been connected to its primary yet.")
	}
	s.parameters = maps.Clone(known)
	return nil
}

// learnStored takes over the few settings that the stored WAL tells; false: there is none.
func (s *session) learnStored() bool {
	if s.h.o.Stored == nil {
		return false
	}
	known, settings := s.h.o.Stored()
	if known["server_version"] == "" {
		return false
	}
	s.parameters, s.stored = maps.Clone(known), settings
	return true
}

// greet tells the client that it is in, as a server does at the end of a log-in.
func (s *session) greet() error {
	b := wire.AppendFrame(nil, 'R', make([]byte, 4)) // AuthenticationOk
	for _, p := range slices.Sorted(maps.Keys(s.parameters)) {
		b = wire.AppendFrame(b, 'S', []byte(p+"\x00"+s.parameters[p]+"\x00"))
	}
	key := make([]byte, ownKey)
	_, _ = rand.Read(key) // never fails
	s.withdraw = s.server.OnCancel(key, s.cancel)
	body := append(binary.BigEndian.AppendUint32(nil, uint32(s.server.PID())), key...)
	return s.send(appendReady(wire.AppendFrame(b, 'K', body)))
}
