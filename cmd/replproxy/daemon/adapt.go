package daemon

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"syscall"
	"time"

	"github.com/replproxy/replproxy/cmd/replproxy/preflight"
	"github.com/replproxy/replproxy/fanout"
	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/fanout/walsource"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/roles"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/descriptors"
	"github.com/replproxy/replproxy/proxy"
	"github.com/replproxy/replproxy/proxy/config"
	"github.com/replproxy/replproxy/proxy/physical"
	"github.com/replproxy/replproxy/proxy/relay"
)

// limits returns the bounds on clients' connections and log-ins that c sets.
func limits(c *config.Config) proxy.Limits {
	return proxy.Limits{
		MaxConnections: c.Limits.MaxConnections, MaxPerAddress: c.Limits.MaxConnectionsPerAddress,
		MaxLogins: c.Limits.MaxLogins, AuthDelay: c.Auth.Delay, TCP: c.TCP,
	}
}

// dialer gives clients' log-ins a bare connection to the primary. When descriptors run short makeRoom is asked to end
// another client's connection; it reports whether it did.
func dialer(up *upstream.Config, files *descriptors.Room, makeRoom func() bool) proxy.Dialer {
	return proxy.DialerFunc(func(ctx context.Context, wait time.Duration) (*relay.Upstream, error) {
		raw, err := up.DialPrimary(ctx, wait)
		if err != nil {
			return nil, err
		}
		if files.Tight(raw.Conn) && !makeRoom() {
			_ = raw.Close()
			return nil, fmt.Errorf("connect for a client: %w", syscall.EMFILE)
		}
		return &relay.Upstream{
			Conn: raw.Conn, TLS: raw.TLS, Name: raw.Endpoint.String(), ChannelBinding: up.ChannelBinding(),
			Cancel: func(ctx context.Context, request []byte) error {
				return up.Cancel(ctx, raw.Endpoint, request)
			},
		}, nil
	})
}

// knownOf returns a function that gives the primary's parameters and settings, as it said them last. With auth.method:
// scram they are kept on disk and outlive a restart.
func knownOf(receiver *walsource.Supply, verifier *roles.Lookup) func() (parameters, settings map[string]string) {
	if verifier != nil {
		return verifier.Shown
	}
	return func() (parameters, settings map[string]string) {
		s := receiver.Status()
		return s.Parameters, s.Settings
	}
}

// storedOf returns a function that gives the parameters and settings of the primary that its WAL tells, which are those
// that another member cannot do without. Nothing is known while the store has no WAL.
func storedOf(store *walstore.Store) func() (parameters, settings map[string]string) {
	return func() (parameters, settings map[string]string) {
		id, ok := store.Identity()
		if !ok {
			return nil, nil
		}
		return map[string]string{"server_version": strconv.Itoa(id.ServerMajor)}, map[string]string{
			"server_version_num": strconv.Itoa(id.ServerMajor * 10000), "wal_segment_size": id.SegSize.String(),
		}
	}
}

// askPrimary runs one query in a session of its own.
func askPrimary(up *upstream.Config) physical.AskPrimary {
	ask := func(ctx context.Context, query string) ([]string, error) {
		s, err := up.Connect(ctx, map[string]string{"application_name": "replproxy settings"})
		if err != nil {
			return nil, fmt.Errorf("connect to the primary: %w", err)
		}
		defer s.Close()
		results, err := s.Query(ctx, query)
		if err != nil || len(results) == 0 || len(results[0].Rows) == 0 {
			return nil, err
		}
		var values []string
		for _, v := range results[0].Rows[0] {
			values = append(values, string(v))
		}
		return values, nil
	}
	return func(ctx context.Context, query string) ([]string, error) {
		return upstream.Beside(ctx, func(ctx context.Context, _ bool) ([]string, error) { return ask(ctx, query) },
			func(err error) bool { return errors.As(err, new(*pgerror.Error)) }, func([]string) {})
	}
}

// followed is the history of the stored WAL, as sessions ask for it.
type followed struct {
	*walsource.Supply
	fenced func() bool
}

func (f followed) Final() bool { return f.fenced() }

// rolesOf passes the lookup on as the server takes it: nil stays nil.
func rolesOf(k *roles.Lookup) proxy.Roles {
	if k == nil {
		return nil
	}
	return k
}

// slotLimits returns the bounds on the WAL that slots hold (R19).
func slotLimits(c *config.Config) fanout.SlotLimits {
	l := fanout.SlotLimits{
		KeepSize: int64(c.WAL.KeepSize), Enforce: true, MaxKeep: int64(c.WAL.MaxSlotWALKeepSize.Size),
		IdleTimeout: c.Slots.IdleTimeout,
	}
	if c.WAL.MaxSlotWALKeepSize.Auto {
		l.MaxKeep = slot.Auto
	}
	l.Room = func() (int64, bool) { return room(c) }
	return l
}

// room returns how many bytes may still be written to the volume of data_dir. False: the volume can't be asked.
func room(c *config.Config) (int64, bool) {
	total, free, err := preflight.Volume(c.DataDir)
	return walstore.Room(total, free, c.WAL.MinFree.Of(total)), err == nil
}
