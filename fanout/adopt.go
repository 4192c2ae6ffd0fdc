package fanout

import (
	"context"
	"errors"
	"time"

	"github.com/replproxy/replproxy/fanout/realslot"
	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// PrimarySlots are the slots that are really on the primary; *realslot.Maintainer is one.
type PrimarySlots interface {
	// Find waits for the primary, for a bounded time. false: there is no such slot.
	Find(ctx context.Context, name string) (realslot.Real, bool, error)
	// Dropped is called after a slot was dropped here. It waits for the primary as well.
	Dropped(ctx context.Context, was slot.Info)
	// Keeps reports whether a slot there that was taken over is left as it was.
	Keeps(was slot.Info) bool
}

// onPrimary looks for a slot that is not here.
func (h *Hub) onPrimary(ctx context.Context, name string) (realslot.Real, bool, error) {
	if h.o.Primary == nil || grammar.ValidateSlotName(name) != nil {
		return realslot.Real{}, false, nil
	}
	return h.o.Primary.Find(ctx, name)
}

// adopt takes a slot over that a standby used on the primary (R16): durable here before anything there changes. 55006
// while the primary's slot is active, 55000 where its WAL is more than slots may hold here. false: there is none, or
// the primary could not be asked and slots.auto_create makes one here. WAL between its restart_lsn and what the store
// has is asked for like any WAL that is older than the store. A logical slot is refused as PostgreSQL does.
func (h *Hub) adopt(ctx context.Context, name string, pid int32) (bool, error) {
	real, exists, err := h.onPrimary(ctx, name)
	switch {
	case err != nil && h.tuning.Load().AutoCreateSlots:
		h.log.Warn("cannot ask the primary for a slot", "slot", name, "err", err)
		return false, nil
	case err != nil:
		return false, pgerror.New(pgerror.UndefinedObject, `replication slot "%s" does not exist`, name).
			WithDetail("The primary could not be asked whether it has the slot.").WithCause(err)
	case !exists:
		return false, nil
	case real.ProxySlot:
		return false, ErrProxySlot(name)
	case real.ActivePID != 0:
		return false, pgerror.New(pgerror.ObjectInUse,
			`replication slot "%s" is active for PID %d`, name, real.ActivePID).
			WithDetail("The slot is in use on the primary itself.")
	case real.Logical:
		return false, pgerror.New(pgerror.ObjectNotInPrerequisite,
			"cannot use a logical replication slot for physical replication")
	}
	if h.tooFar(real) {
		return false, errTooFar(name)
	}
	seed := slot.Seed{Restart: real.Restart, Xmin: real.Xmin, CatalogXmin: real.CatalogXmin}
	if err := h.makeSlot(ctx, name, seed, pid, h.o.Slots.Adopt); err != nil {
		if isDuplicate(err) {
			err = nil // another session was quicker
		}
		return err == nil, err
	}
	h.mergeFeedback()
	h.log.Info("took a replication slot over from the primary", "slot", name, "restart_lsn", real.Restart,
		"xmin", uint64(real.Xmin), "catalog_xmin", uint64(real.CatalogXmin))
	return true, nil
}

// tooFar reports whether the slot would be lost as soon as it is taken over, for the WAL that it holds, and the
// primary's own slot with it. Left there, that one can serve its standby still.
func (h *Hub) tooFar(real realslot.Real) bool {
	taken := slot.Info{Name: real.Name, Restart: real.Restart, Real: slot.Adopted}
	all := append(h.o.Slots.List(), taken)
	return h.bounds().Judge(all, time.Now())[len(all)-1].Lose == slot.WALRemoved
}

// errTooFar has PostgreSQL's words for a slot that is lost, but this one is as it was.
func errTooFar(name string) *pgerror.Error {
	return pgerror.New(pgerror.ObjectNotInPrerequisite, `can no longer access replication slot "%s"`, name).
		WithDetail("It holds more WAL than wal.max_slot_wal_keep_size allows here. The primary's is left as it is.").
		WithHint("Let its standby catch up from the primary itself, or raise wal.max_slot_wal_keep_size.")
}

// replaceLost makes way for a slot of the primary that has the name of one that is lost here. Managers and operators
// make such a slot by SQL, after the loss (ruling R41). exists reports whether the lost one stays. A slot that was
// taken over is dropped on the primary once it is lost here, so the lost one stays. With slots.adopted: keep the
// primary's still holds the WAL, and takes its place.
func (h *Hub) replaceLost(ctx context.Context, was slot.Info, pid int32) (exists bool, err error) {
	real, there, err := h.onPrimary(ctx, was.Name)
	switch {
	case err != nil || !there || real.Logical || real.Lost || real.ActivePID != 0 || real.Restart == lsn.Invalid ||
		h.tooFar(real):
		return true, nil // the lost one answers
	case was.Real != slot.NoReal && !h.o.Primary.Keeps(was):
		return true, nil // what we have moved holds nothing that its standby needs
	}
	if err := h.dropSlot(ctx, was, was.Name, false, pid); err != nil {
		return true, err
	}
	h.log.Info("a slot that is lost here was made anew on the primary: it takes its place", "slot", was.Name,
		"restart_lsn", real.Restart)
	return false, nil
}

// ErrProxySlot refuses to use the proxy's own slot on the primary. That slot holds the WAL that this proxy is still to
// receive, whether or not the primary shows it as active.
func ErrProxySlot(name string) *pgerror.Error {
	return pgerror.New(pgerror.ObjectInUse, `replication slot "%s" is in use`, name).
		WithDetail("It is replproxy's own slot on the primary.")
}

func isDuplicate(err error) bool {
	var e *pgerror.Error
	return errors.As(err, &e) && e.Code == pgerror.DuplicateObject
}
