package realslot

import (
	"errors"
	"log/slog"
	"strconv"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// TestRealOtherServersAreLeftAlone: no slot is made, moved or dropped on a server that SQL reaches and that is not the
// one that the store is filled from. The same holds on another timeline, and while nothing streams.
func TestRealOtherServersAreLeftAlone(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		srv := in.Primary(t)
		srv.Exec(t, "SELECT pg_create_physical_replication_slot('own', true)")
		srv.Exec(t, "CREATE TABLE t AS SELECT generate_series(1, 1000)")
		end, was := srv.CurrentLSN(t), srv.Scalar(t, "SELECT restart_lsn FROM pg_replication_slots")
		up, err := upstream.Parse(srv.Conninfo())
		if err != nil {
			t.Fatal(err)
		}
		s, err := up.Connect(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		id, err := strconv.ParseUint(srv.Scalar(t, "SELECT system_identifier FROM pg_control_system()"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		slots := slotsWith(t, "a", end)
		right := server{s.Endpoint, lsn.SystemID(id), 1}
		now, streams := right, true
		following := func() (upstream.Endpoint, lsn.SystemID, lsn.TimelineID, bool) {
			return now.at, now.system, now.timeline, streams
		}
		log := slog.New(slog.NewTextHandler(t.Output(), nil))
		k := New(Options{Upstream: up, Following: following, ProxySlot: "own", Slots: slots, Policy: Advance, Mirror: Presence,
			Store: func() (oldest, flushed lsn.LSN) { return end, end }, Settled: func() bool { return true }, Logger: log})
		own := NewProxySlot(ProxySlotOptions{Upstream: up, Slot: "own", Flushed: func() lsn.LSN { return end },
			Following: following, FeedbackSent: func() bool { return false }, Logger: log})
		if _, err := own.Hold(t.Context(), right.at); err != nil {
			t.Fatal(err)
		}
		state := func() string {
			return srv.Scalar(t, "SELECT string_agg(slot_name || ' ' || coalesce(restart_lsn::text, ''), ', ' ORDER BY slot_name)"+
				" FROM pg_replication_slots")
		}
		advance := func() error {
			if w, held, _ := own.where(); held {
				return own.round(t.Context(), w)
			}
			return nil
		}
		for name, w := range map[string]server{
			"another system":   {right.at, right.system + 1, 1},
			"another timeline": {right.at, right.system, 2},
		} {
			now = w
			if err := k.round(t.Context(), w); !errors.Is(err, errNotFollowed) {
				t.Errorf("%s: %v", name, err)
			}
			if err := advance(); !errors.Is(err, errNotFollowed) {
				t.Errorf("%s, own slot: %v", name, err)
			}
			if err := k.drop(t.Context(), "own"); !errors.Is(err, errNotFollowed) {
				t.Errorf("%s, drop: %v", name, err)
			}
			if _, known := k.NextXID(); known || state() != "own "+was {
				t.Errorf("%s: %s", name, state())
			}
		}
		now, streams = right, false
		if err := errors.Join(k.round(t.Context(), right), advance()); err != nil || state() != "own "+was {
			t.Errorf("without a stream: %s %v", state(), err)
		}
		streams = true
		own.Release()
		if err := advance(); err != nil || state() != "own "+was {
			t.Errorf("let go: %s %v", state(), err)
		}
		if _, err := own.Hold(t.Context(), right.at); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(k.round(t.Context(), right), advance()); err != nil {
			t.Fatal(err)
		}
		if got := srv.Scalar(t, "SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = 'own'"); got != end.String() {
			t.Errorf("own slot at %s, expected %s", got, end)
		}
		if n := srv.Scalar(t, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'a'"); n != "1" {
			t.Error("no mirror")
		}
		if _, known := k.NextXID(); !known {
			t.Error("the next transaction ID is not known")
		}
	}, 14, 18)
}
