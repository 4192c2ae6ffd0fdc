package slot

import (
	"github.com/replproxy/replproxy/fanout/slot/shared"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// What a proxy does that has nobody to ask: each claim stands at once.

func create(t *Table, name string, temporary bool, restart lsn.LSN, pid int32) error {
	if temporary {
		return t.CreateTemporary(name, restart, pid)
	}
	claim, _, err := t.Propose(shared.Create, name, pid)
	if err != nil {
		return err
	}
	return t.Create(claim, Seed{Restart: restart}, pid)
}

func adopt(t *Table, name string, s Seed, pid int32) error {
	claim, _, err := t.Propose(shared.Create, name, pid)
	if err != nil {
		return err
	}
	return t.Adopt(claim, s, pid)
}

func acquire(t *Table, name string, pid int32) (*Guard, error) {
	claim, _, err := t.Propose(shared.Attach, name, pid)
	if err != nil {
		return nil, err
	}
	return t.Acquire(claim, pid)
}

func drop(t *Table, name string, pid int32) error {
	claim, _, err := t.Propose(shared.Drop, name, pid)
	if err != nil {
		return err
	}
	return t.Drop(claim, pid)
}
