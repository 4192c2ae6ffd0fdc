package proxy

import (
	"context"
	"crypto/subtle"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/internal/deadline"
)

// cancelTimeout bounds the wait for a turn and the sending together.
const cancelTimeout = 10 * time.Second

// sendCancel delivers a CancelRequest, as it came, to whoever issued the key.
type sendCancel func(ctx context.Context, raw []byte) error

// cancels maps issued cancel keys to the servers that issued them. The zero value is ready.
type cancels struct {
	mu    sync.Mutex
	byPID map[uint32][]*cancelKey
}

// cancelKey is one issued key. Two servers may have issued one pid.
type cancelKey struct {
	key  []byte
	send sendCancel
}

// add enters a key; the returned func takes it out and may be called more than once.
func (c *cancels) add(pid uint32, key []byte, send sendCancel) (withdraw func()) {
	k := &cancelKey{key: slices.Clone(key), send: send}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byPID == nil {
		c.byPID = map[uint32][]*cancelKey{}
	}
	c.byPID[pid] = append(c.byPID[pid], k)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		keys := slices.DeleteFunc(c.byPID[pid], func(o *cancelKey) bool { return o == k })
		if len(keys) == 0 {
			delete(c.byPID, pid)
			return
		}
		c.byPID[pid] = keys
	}
}

// find returns the way to the issuer of pid and key; false: no such key was issued here. Keys are compared in constant
// time.
func (c *cancels) find(pid uint32, key []byte) (sendCancel, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.byPID[pid] {
		if subtle.ConstantTimeCompare(k.key, key) == 1 {
			return k.send, true
		}
	}
	return nil, false
}

// cancel serves a CancelRequest. The client learns nothing, by design of the protocol; that its
// connection closes only after the issuer's did is what PQcancel waits for.
func (s *Server) cancel(ctx context.Context, req *handshake.Request) error {
	ctx, stop := context.WithTimeout(ctx, cancelTimeout)
	defer stop()
	turns := s.cancelTurns
	send, ok := s.cancels.find(req.CancelPID, req.CancelKey)
	if !ok {
		// Another proxy's session, or one from before a restart (R31), or nobody's.
		send, turns = s.cancelAtPrimary, s.strangeCancelTurns
	}
	done, err := turns.take(ctx, origin(req.Conn.RemoteAddr()).String())
	if err != nil {
		return err
	}
	defer done()
	if err := send(ctx, req.Raw); err != nil {
		return fmt.Errorf("forward cancel request: %w", err)
	}
	return nil
}

// cancelAtPrimary sends a CancelRequest to the current primary and waits until it closes.
func (s *Server) cancelAtPrimary(ctx context.Context, raw []byte) error {
	up, err := s.o.Upstream.Dial(ctx, 0)
	if err != nil {
		return fmt.Errorf("dial primary: %w", err)
	}
	defer up.Conn.Close()
	defer deadline.By(ctx, up.Conn.SetDeadline)()
	if _, err := up.Conn.Write(raw); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	// The server answers nothing; its end says that the signal was sent.
	_, _ = io.CopyN(io.Discard, up.Conn, 1)
	return nil
}
