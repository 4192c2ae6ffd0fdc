package upstream

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Servers returns the number of servers that conninfo names.
func (c *Config) Servers() int { return len(c.last.Load().byServer()) }

// byServer groups the endpoints by the server they lead to, in the order in which they are tried.
func (r *reading) byServer() [][]Endpoint {
	var groups [][]Endpoint
	for _, e := range r.order() {
		i := slices.IndexFunc(groups, func(g []Endpoint) bool { return g[0].sameServer(e) })
		if i < 0 {
			groups = append(groups, []Endpoint{e})
		} else {
			groups[i] = append(groups[i], e)
		}
	}
	return groups
}

// ConnectAll logs in at every server at once, as [Config.Connect] does at one, and returns the sessions
// with those that target_session_attrs wants, in conninfo's order with the current one first. Once one
// is there the others get patience more. All sessions must be closed. The error, a *[ConnectError], says
// why servers are missing, and may come beside sessions.
func (c *Config) ConnectAll(ctx context.Context, params map[string]string, patience time.Duration) ([]*Session, error) {
	r, err := c.read()
	if err != nil {
		return nil, unreadable(err)
	}
	sessions, failed := r.connectAll(ctx, r.byServer(), params, patience, r.attrs)
	if len(sessions) == 0 && r.attrs == attrsPreferStandby && errors.Is(failed, ErrNotStandby) {
		sessions, failed = r.connectAll(ctx, r.byServer(), params, patience, attrsAny)
	}
	if len(failed.Attempts) > 0 {
		return sessions, failed
	}
	return sessions, nil
}

// ConnectEach logs in as ConnectAll does, whatever the role of a server.
func (c *Config) ConnectEach(ctx context.Context, params map[string]string, patience time.Duration,
) ([]*Session, error) {
	r, err := c.read()
	if err != nil {
		return nil, unreadable(err)
	}
	sessions, failed := r.connectAll(ctx, r.byServer(), params, patience, attrsAny)
	if len(failed.Attempts) > 0 {
		return sessions, failed
	}
	return sessions, nil
}

// ConnectOthers logs in as ConnectAll does, but not at the server at e, as a Session has it.
func (c *Config) ConnectOthers(ctx context.Context, e Endpoint, params map[string]string, patience time.Duration,
) ([]*Session, error) {
	r, err := c.read()
	if err != nil {
		return nil, unreadable(err)
	}
	others := slices.DeleteFunc(r.byServer(), func(g []Endpoint) bool { return g[0].sameServer(e) })
	sessions, failed := r.connectAll(ctx, others, params, patience, r.attrs)
	if len(failed.Attempts) > 0 {
		return sessions, failed
	}
	return sessions, nil
}

func (r *reading) connectAll(ctx context.Context, groups [][]Endpoint, params map[string]string, patience time.Duration,
	attrs sessionAttrs,
) ([]*Session, *ConnectError) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type result struct {
		i      int
		s      *Session
		failed *ConnectError
	}
	results := make(chan result)
	for i, g := range groups {
		go func() {
			s, failed := r.connectAmong(ctx, g, params, attrs)
			results <- result{i, s, failed}
		}()
	}
	found := make([]*Session, len(groups))
	failures := make([]*ConnectError, len(groups))
	var late *time.Timer
	for range groups {
		got := <-results
		found[got.i], failures[got.i] = got.s, got.failed
		if got.s != nil && late == nil {
			late = time.AfterFunc(patience, func() { cancel(ErrLate) })
			defer late.Stop()
		}
	}
	failed := &ConnectError{}
	for i, f := range failures {
		if found[i] == nil {
			failed.Attempts = append(failed.Attempts, f.Attempts...)
		}
	}
	return slices.DeleteFunc(found, func(s *Session) bool { return s == nil }), failed
}

// ErrLate is the error of a server that has no session because another one answered well before.
var ErrLate = errors.New("server did not answer while another one had")

// connectAmong tries endpoints in order until one has a session that attrs accept. nil: none has, and the
// *ConnectError, never nil, says why for each. It blocks until ctx ends at most.
func (r *reading) connectAmong(ctx context.Context, list []Endpoint, params map[string]string, attrs sessionAttrs,
) (*Session, *ConnectError) {
	failed := &ConnectError{}
	var s *Session
	r.eachAddress(ctx, list, failed, failed.skip, func(e Endpoint) (bool, error) {
		var err error
		s, err = r.login(ctx, e, params, attrs)
		if err != nil && ctx.Err() != nil {
			cause := context.Cause(ctx)
			if errors.As(err, new(errHeard)) {
				cause = errHeard{cause}
			}
			err = cause
		}
		return err == nil, err
	})
	return s, failed
}
