package realslot

import (
	"context"
	"errors"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
)

const (
	// watchInterval spaces the questions whether a primary still is the one: clients are sent to it.
	watchInterval = 2 * time.Second
	// stopPatience is the time for which the primary may let nobody in before it is looked for anew. One that stops
	// smart still serves its sessions, and nobody takes over meanwhile.
	stopPatience = 10 * time.Second
	// otherPatience bounds how long the other hosts may take to log us in once one has.
	otherPatience = time.Second
)

// Finder finds the primary over SQL, for a proxy that does not stream from it. It is ready once Upstream is set.
type Finder struct {
	Upstream *upstream.Config // the servers that may be the primary
}

// Watch logs in at all hosts and chooses the server that has the system and writes on timeline t. It calls found at
// once and then every watchInterval, each time over a session that ends with the question (ruling R38). It blocks until
// ctx ends or that server is not the one any more, which is the error. A server that lets nobody in because it stops or
// starts counts as the one for stopPatience more.
func (f Finder) Watch(ctx context.Context, system lsn.SystemID, t lsn.TimelineID, found func(upstream.Endpoint),
) error {
	w := server{system: system, timeline: t}
	s, err := f.find(ctx, w)
	if err != nil {
		return err
	}
	w.at = s.Endpoint
	s.Close()
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for answered := time.Now(); ; {
		found(w.at)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		err := f.again(ctx, w)
		switch {
		case err == nil:
			answered = time.Now()
		case !stopping(err) || time.Since(answered) > stopPatience:
			return err
		}
	}
}

// again asks the server at w.at whether it still is w.
func (f Finder) again(ctx context.Context, w server) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	s, err := sql(ctx, verified{f.Upstream, w})
	if err != nil {
		return err
	}
	_ = s.Close()
	return nil
}

// find returns the session of the server that is w. The others are closed. Where none is w the error says why, of each.
// It blocks until all have answered, or otherPatience after the first, or ctx ends.
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
