package realslot

import (
	"context"
	"errors"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
)

const (
	// watchInterval is how often a primary is asked whether it still is the one: clients are sent to it.
	watchInterval = 2 * time.Second
	// otherPatience is how long the other hosts have to log us in once one has.
	otherPatience = time.Second
)

// Servers are those that may be the primary; *upstream.Config is one.
type Servers interface {
	ConnectAll(ctx context.Context, params map[string]string, patience time.Duration) ([]*upstream.Session, error)
}

// Finder finds the primary over SQL, for a proxy that does not stream from it. The zero value with its
// fields set is ready.
type Finder struct {
	Upstream Servers
}

// Watch logs in at all hosts, keeps the session of the server that has the system and writes on timeline t,
// and calls found at once and then every watchInterval, until that server is not the one any more, which
// is the error, or ctx ends. It blocks.
func (f Finder) Watch(ctx context.Context, system lsn.SystemID, t lsn.TimelineID, found func(upstream.Endpoint),
) error {
	w := server{system: system, timeline: t}
	s, err := f.find(ctx, w)
	if err != nil {
		return err
	}
	defer s.Close()
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		found(s.Endpoint)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		if err := ask(ctx, w, s); err != nil {
			return err
		}
	}
}

// find is the session of the server that is w. The others are closed.
func (f Finder) find(ctx context.Context, w server) (*upstream.Session, error) {
	sessions, err := f.Upstream.ConnectAll(ctx, map[string]string{"application_name": applicationName}, otherPatience)
	var chosen *upstream.Session
	for _, s := range sessions {
		if chosen != nil {
			s.Close()
			continue
		}
		if failed := ask(ctx, w, s); failed != nil {
			err = errors.Join(err, failed)
			s.Close()
			continue
		}
		chosen = s
	}
	if chosen != nil {
		return chosen, nil
	}
	return nil, err
}

func ask(ctx context.Context, w server, s *upstream.Session) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return w.verify(ctx, s)
}
