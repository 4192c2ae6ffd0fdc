package backfill

import (
	"context"
	"io"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// Members has missing or damaged WAL sent by whichever member of a cluster still has it. All fields are required.
type Members struct {
	All  []string        // the other members
	Live func() []string // those that can be reached, as far as it is known
	// SameWAL reports whether a member's WAL is known to be no other WAL than the store's.
	SameWAL func(member string) bool
	// Connect logs in at a member's walsender.
	Connect func(ctx context.Context, member string, params map[string]string) (*upstream.Session, error)
}

// String names the source.
func (m *Members) String() string { return "members" }

// Open takes the first member that begins to send. Only when each member of the cluster says so has none got the WAL.
func (m *Members) Open(ctx context.Context, id walstore.Identity, r Run) (io.ReadCloser, error) {
	var answers Answers
	for _, member := range m.Live() {
		if !m.SameWAL(member) {
			continue
		}
		s, failed := m.Connect(ctx, member, map[string]string{"replication": "true"})
		if failed == nil {
			var stream io.ReadCloser
			if stream, failed = Stream(ctx, s, id, r); failed == nil {
				return stream, nil
			}
			_ = s.Close()
		}
		answers.Refused(member, failed)
	}
	return nil, answers.Err(m.All)
}
