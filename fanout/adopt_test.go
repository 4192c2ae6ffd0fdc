package fanout

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/replproxy/replproxy/fanout/realslot"
	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// primarySlots is a primary with a few slots.
type primarySlots struct {
	slots   map[string]realslot.Real
	err     error
	dropped []slot.Info
}

func (p *primarySlots) Find(_ context.Context, name string) (realslot.Real, bool, error) {
	r, ok := p.slots[name]
	return r, ok, p.err
}

func (p *primarySlots) Dropped(_ context.Context, was slot.Info) { p.dropped = append(p.dropped, was) }

func (p *primarySlots) Keeps(slot.Info) bool { return false }

func TestAdopt(t *testing.T) {
	p := &primarySlots{slots: map[string]realslot.Real{}}
	w := newWorld(t, func(o *Options) { o.Primary = p }).adopt().grow(1_500_000)
	at := w.gen.Start() + 12345
	p.slots["busy"] = realslot.Real{Name: "busy", ActivePID: 77, Restart: at}
	p.slots["idle"] = realslot.Real{Name: "idle", Restart: at, Xmin: 700, CatalogXmin: 650}
	p.slots["old"] = realslot.Real{Name: "old", Restart: w.gen.Start() - 2*lsn.LSN(testSeg)}

	refused(t, w.standby(1, StartRequest{Slot: "busy", At: at}).ended(), pgerror.ObjectInUse,
		`replication slot "busy" is active for PID 77`)
	refused(t, w.standby(1, StartRequest{Slot: "none", At: at}).ended(), pgerror.UndefinedObject,
		`replication slot "none" does not exist`)
	if st, ok := w.readSlot("busy"); !ok || st.RestartLSN != at || st.RestartTimeline != 1 {
		t.Errorf("READ_REPLICATION_SLOT: %+v %v", st, ok)
	}
	p.slots["logical"] = realslot.Real{Name: "logical", Logical: true, Restart: at}
	refused(t, w.standby(1, StartRequest{Slot: "logical", At: at}).ended(), pgerror.ObjectNotInPrerequisite,
		"cannot use a logical replication slot for physical replication")
	_, _, err := w.hub.ReadSlot(t.Context(), "logical")
	refused(t, err, pgerror.FeatureNotSupported, "cannot use READ_REPLICATION_SLOT with a logical replication slot")
	for name := range p.slots {
		refused(t, w.hub.CreateSlot(t.Context(), SlotRequest{Name: name}, 1), pgerror.DuplicateObject,
			fmt.Sprintf(`replication slot "%s" already exists`, name))
	}
	if n := len(w.hub.Slots()); n != 0 {
		t.Fatalf("%d slots were taken over by a question", n)
	}

	s := w.standby(2, StartRequest{Slot: "idle", At: at})
	s.expect(copyBoth)
	row := w.hub.Slots()[0]
	if row.Real != slot.Adopted || row.Restart != at || row.Xmin != 700 || row.CatalogXmin != 650 || row.ActivePID != 2 {
		t.Errorf("%+v", row)
	}
	if f := w.hub.FeedbackStatus(); f.Feedback != fb(700, 650) || f.XminOf != "idle" {
		t.Errorf("%+v", f)
	}
	s.leave()
	w.must(w.hub.DropSlot(t.Context(), "idle", true, 3))
	if len(p.dropped) != 1 || p.dropped[0].Real != slot.Adopted {
		t.Errorf("%+v", p.dropped)
	}

	// WAL that the store never had is still on the primary: the slot is not lost for it.
	s = w.standby(4, StartRequest{Slot: "old", At: p.slots["old"].Restart})
	refused(t, s.ended(), pgerror.UndefinedFile, fmt.Sprintf("requested WAL segment %s has already been removed",
		testSeg.FileName(1, testSeg.Segno(p.slots["old"].Restart))))
	if row := w.hub.Slots()[0]; row.Lost != slot.NotLost || row.Status != slot.Extended {
		t.Errorf("%+v", row)
	}

	p.err = errors.New("the primary is down")
	err = w.standby(5, StartRequest{Slot: "other", At: at}).ended()
	if e := pgerror.From(err); e.Code != pgerror.UndefinedObject || e.Detail == "" || !errors.Is(err, p.err) {
		t.Errorf("%+v", e)
	}
}

// A slot of the primary that holds more WAL than is allowed here would be lost at once. It is not taken over, so the
// primary's stays as it is (ruling R16).
func TestAdoptBeyondTheLimit(t *testing.T) {
	for _, limit := range []int64{2 * int64(testSeg), slot.Auto} {
		p := &primarySlots{slots: map[string]realslot.Real{}}
		w := newWorld(t, func(o *Options) {
			o.Primary = p
			o.Limits = SlotLimits{Enforce: true, MaxKeep: limit, Room: func() (int64, bool) { return -3 * int64(testSeg), true }}
		}).adopt().grow(5 * int(testSeg))
		at := w.gen.Start()
		p.slots["far"] = realslot.Real{Name: "far", Restart: at, Xmin: 700}
		p.slots["near"] = realslot.Real{Name: "near", Restart: w.store.Positions().Received}
		p.slots["empty"] = realslot.Real{Name: "empty"}
		err := w.standby(1, StartRequest{Slot: "far", At: at}).ended()
		refused(t, err, pgerror.ObjectNotInPrerequisite, `can no longer access replication slot "far"`)
		if e := pgerror.From(err); e.Detail == "" || e.Hint == "" {
			t.Errorf("%+v", e)
		}
		if rows := w.hub.Slots(); len(rows) != 0 {
			t.Errorf("%+v", rows)
		}
		for i, name := range []string{"near", "empty"} {
			w.standby(int32(i+2), StartRequest{Slot: name, At: w.store.Positions().Received}).expect(copyBoth)
		}
	}
}
