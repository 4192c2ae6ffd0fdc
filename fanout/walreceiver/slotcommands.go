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

// slotCommands speaks about slots by replication commands.
type slotCommands struct {
	s       *upstream.Session
	version grammar.Version
}

// Read runs READ_REPLICATION_SLOT. All NULL means that there is none; a NULL position, that it reserves nothing.
func (q slotCommands) Read(ctx context.Context, name string) (found bool, at SlotStart, err error) {
	res, err := q.s.Query(ctx, grammar.Render(&grammar.ReadSlot{Name: name}, q.version))
	if err != nil {
		return false, at, fmt.Errorf("read slot %q: %w", name, err)
	}
	row, err := oneRow(res, 3)
	if err != nil {
		return false, at, fmt.Errorf("read slot %q: %w", name, err)
	}
	if row[0] == nil || row[1] == nil {
		return row[0] != nil, at, nil
	}
	var tli uint64
	if at.Restart, err = lsn.Parse(string(row[1])); err == nil {
		tli, err = strconv.ParseUint(string(row[2]), 10, 32)
		at.Timeline = lsn.TimelineID(tli)
	}
	if err != nil {
		return false, SlotStart{}, fmt.Errorf("read slot %q: %w", name, err)
	}
	return true, at, nil
}

// Create makes a physical slot that reserves WAL at once. false: a slot of the name is there. It blocks until the
// answer or the end of ctx.
func (q slotCommands) Create(ctx context.Context, name string) (bool, error) {
	_, err := q.s.Query(ctx, grammar.Render(&grammar.CreateSlot{Name: name, ReserveWAL: true}, q.version))
	if pgerror.HasCode(err, pgerror.DuplicateObject) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("create slot %q: %w", name, err)
	}
	return true, nil
}

// Drop drops a slot; nil also where there is none. One that is in use is the server's error. It blocks until the answer
// or the end of ctx.
func (q slotCommands) Drop(ctx context.Context, name string) error {
	_, err := q.s.Query(ctx, grammar.Render(&grammar.DropSlot{Name: name}, q.version))
	if err != nil && !pgerror.HasCode(err, pgerror.UndefinedObject) {
		return fmt.Errorf("drop slot %q: %w", name, err)
	}
	return nil
}
