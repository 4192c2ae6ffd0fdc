package walreceiver

import (
	"context"
	"fmt"
	"strconv"

	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// slotCommands speaks about one slot in one server's dialect.
type slotCommands struct {
	s       *upstream.Session
	name    string
	version int
}

// prepareBlind is for 14, which can't be asked: creating tells by its refusal that there is one.
func (q slotCommands) prepareBlind(ctx context.Context, lost bool, ask func(bool) error) (SlotState, error) {
	if lost {
		if err := q.drop(ctx); err != nil {
			return SlotUnknown, err
		}
	}
	created, err := q.create(ctx)
	if err == nil {
		err = mayUse(ask, !created)
	}
	switch {
	case err != nil:
		return SlotUnknown, err
	case created && lost:
		return SlotRecreated, nil
	case created:
		return SlotCreated, nil
	}
	return SlotFound, nil
}

// read asks for the slot. All NULL means that there is none; a NULL position, that it reserves nothing.
func (q slotCommands) read(ctx context.Context, at *SlotStart) (found bool, err error) {
	res, err := q.s.Query(ctx, grammar.Render(&grammar.ReadSlot{Name: q.name}, grammar.Version(q.version)))
	if err != nil {
		return false, fmt.Errorf("read slot %q: %w", q.name, err)
	}
	row, err := OneRow(res, 3)
	if err != nil {
		return false, fmt.Errorf("read slot %q: %w", q.name, err)
	}
	*at = SlotStart{}
	if row[0] == nil {
		return false, nil
	}
	if row[1] == nil {
		return true, nil
	}
	if at.Restart, err = lsn.Parse(string(row[1])); err != nil {
		return false, fmt.Errorf("read slot %q: %w", q.name, err)
	}
	tli, err := strconv.ParseUint(string(row[2]), 10, 32)
	if err != nil {
		return false, fmt.Errorf("read slot %q: %w", q.name, err)
	}
	at.Timeline = lsn.TimelineID(tli)
	return true, nil
}

// create reports false when there is one already.
func (q slotCommands) create(ctx context.Context) (bool, error) {
	command := grammar.Render(&grammar.CreateSlot{Name: q.name, ReserveWAL: true}, grammar.Version(q.version))
	_, err := q.s.Query(ctx, command)
	if pgerror.HasCode(err, pgerror.DuplicateObject) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("create slot %q: %w", q.name, err)
	}
	return true, nil
}

func (q slotCommands) drop(ctx context.Context) error {
	_, err := q.s.Query(ctx, grammar.Render(&grammar.DropSlot{Name: q.name}, grammar.Version(q.version)))
	if err != nil && !pgerror.HasCode(err, pgerror.UndefinedObject) {
		return fmt.Errorf("drop slot %q: %w", q.name, err)
	}
	return nil
}

// OneRow returns the only row of an answer with at least columns values.
func OneRow(res []upstream.Result, columns int) ([][]byte, error) {
	if len(res) < 1 || len(res[0].Rows) != 1 || len(res[0].Rows[0]) < columns {
		return nil, fmt.Errorf("%w: expected one row with %d values", ErrProtocol, columns)
	}
	return res[0].Rows[0], nil
}
