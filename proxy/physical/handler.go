package physical

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/proxy"
)

// Handler serves the physical walsenders of a server. It starts nothing by itself. Make it with [New].
type Handler struct {
	o Options
	// known is a position up to which the primary has WAL, as base backups told. It only grows.
	known atomic.Uint64
	// starts keeps the primary's answers about clients' settings.
	starts *settingsAnswers
	offers offers
}

var _ proxy.PhysicalHandler = (*Handler)(nil)

// New makes a handler. The error names a missing option.
func New(o Options) (*Handler, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	return &Handler{o: o, starts: newSettingsAnswers()}, nil
}

// ServeWalsender logs the client in to the primary and answers its commands until it leaves. When ctx
// ends, idle sessions end with 57P01 and streaming ones are drained by the hub. Goroutines that it
// started have ended when it returns.
func (h *Handler) ServeWalsender(ctx context.Context, req *handshake.Request, server *proxy.Session) error {
	return h.serve(ctx, req, server, nil)
}

// ServeConsole logs the client in to the primary as a walsender, which proves that the role may see replication. It
// lets that connection go and answers the client by Options.Console until it leaves, or ctx ends: then with 57P01.
func (h *Handler) ServeConsole(ctx context.Context, req *handshake.Request, server *proxy.Session) error {
	return h.serve(ctx, req.Walsender(), server, h.o.Console)
}

func (h *Handler) serve(ctx context.Context, req *handshake.Request, server Session, console Console) error {
	s := &session{
		h: h, req: req, server: server, console: console,
		client: newClient(req.Conn), started: time.Now(),
		parameters: map[string]string{},
	}
	err := s.serve(ctx)
	var owed *pgerror.Error
	switch {
	case errors.Is(err, errOver):
		return nil
	case errors.Is(err, errClientGone), errors.Is(err, errRefused), s.client.torn:
		return err // there is nobody to tell, or nothing new
	case errors.As(err, &owed):
		return proxy.Tell(err)
	}
	return err
}

// own reports whether a name is that of the proxy's own slot on the primary: no client drops it through the proxy.
func (h *Handler) own(slot string) bool { return slot != "" && slices.Contains(h.o.OwnSlots, slot) }

// learnKnown takes note of the start of a base backup. Its client asks for the WAL from there at once,
// through another session, while this proxy may be some segments behind: each backup begins with a
// switch of segments.
func (h *Handler) learnKnown(at lsn.LSN) {
	for {
		known := h.known.Load()
		if uint64(at) <= known || h.known.CompareAndSwap(known, uint64(at)) {
			return
		}
	}
}

// learnLimit takes over the primary's max_wal_senders as the walreceiver knows it.
func (h *Handler) learnLimit() {
	if n, err := strconv.Atoi(h.o.Settings()["max_wal_senders"]); err == nil {
		h.o.Gate.SetPrimaryMax(n)
	}
}
