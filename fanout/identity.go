package fanout

import (
	"errors"
	"fmt"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// Identity is the answer to IDENTIFY_SYSTEM, dbname apart.
type Identity struct {
	System   lsn.SystemID
	Timeline lsn.TimelineID
	XLogPos  lsn.LSN
}

// errNoStore returns the refusal until the first WAL from the primary is here.
func errNoStore() error {
	return pgerror.New(pgerror.CannotConnectNow, "the database system is starting up").
		WithDetail("replproxy has not received WAL from the primary yet.")
}

// Identify returns the system that this proxy stands for, its current timeline, and the received end on it, from which
// START_REPLICATION succeeds (R28). The error is 57P03 until the store has a stream, and until WAL may be served.
func (h *Hub) Identify() (Identity, error) {
	if err := h.o.Losses.Known(); err != nil {
		return Identity{}, err
	}
	id, ok := h.o.Store.Identity()
	pos := h.o.Store.Served()
	if !ok || pos.End == lsn.Invalid {
		return Identity{}, errNoStore()
	}
	return Identity{System: id.System, Timeline: pos.Timeline, XLogPos: pos.End}, nil
}

// TimelineHistory returns the answer to TIMELINE_HISTORY: file name and content. A timeline without a history file,
// such as 1, is 58P01.
func (h *Hub) TimelineHistory(tli lsn.TimelineID) (name string, content []byte, err error) {
	name = tli.HistoryFileName()
	content, err = h.o.Store.HistoryFile(tli)
	if errors.Is(err, walstore.ErrNoHistory) && tli > 1 && h.o.Store.History().Contains(tli) {
		// There is one, which a server once wrote: "no such file" would be taken for "no such timeline".
		return "", nil, pgerror.New(pgerror.IOError, "could not read file \"pg_wal/%s\": the store has lost it", name)
	}
	if errors.Is(err, walstore.ErrNoHistory) {
		return "", nil, pgerror.New(pgerror.UndefinedFile,
			`could not open file "pg_wal/%s": No such file or directory`, name)
	}
	if err != nil {
		return "", nil, fmt.Errorf("read timeline history: %w", err)
	}
	return name, content, nil
}
