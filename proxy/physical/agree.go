package physical

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/replproxy/replproxy/fanout/walsource"
	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/deadline"
)

const (
	// agreeDelay lies between two questions to a server to whose history the store may yet go over.
	agreeDelay = 100 * time.Millisecond
	// maxHistory bounds a history file: one line of some fifty bytes for each promotion there ever was.
	maxHistory = 8 << 20
	// highestPID is that of a real server process, on Linux: the sessions of a proxy have higher ones (ruling R31).
	highestPID = 1 << 22
)

// Followed knows the history of the stored WAL; [walsource.Supply] is one. Any goroutine calls it.
type Followed interface {
	// Judge takes note of what is known, before a server is asked where it is. What it gives judges the answer: nil,
	// or a *pgerror.Error, 57P03 where that may pass.
	Judge() func(walsource.Whereabouts) error
	// Holds reports whether the store has WAL up to p; 57P03: not yet.
	Holds(p lsn.Point) error
	// Final reports whether the stored WAL ends where it ends: its timeline is fenced.
	Final() bool
}

// asking puts one Query to the server that a session is connected to, and gives the first row. refused is an ERROR of
// the server. It blocks.
type asking func(query string) (row []string, refused *pgerror.Error, err error)

// physicalMatter reports whether the answer to cmd belongs to the stored WAL. Such an answer must not come from a
// server of another history.
func physicalMatter(cmd grammar.Command) bool {
	switch c := cmd.(type) {
	case *grammar.StartPhysical, *grammar.ReadSlot:
		return true
	case *grammar.CreateSlot:
		return !c.Logical
	}
	return long(cmd)
}

// agree asks the server that a session is connected to where it is, and refuses it where what it gives would not belong
// to the stored WAL (ruling R43). While the store changes over it waits, up to connect_wait; waiting is called then.
func (h *Handler) agree(ctx context.Context, ask asking, w *walsource.Whereabouts, waiting func()) (
	refusal *pgerror.Error, err error,
) {
	if h.o.Followed == nil {
		return nil, nil
	}
	until := time.Now().Add(h.o.ConnectWait())
	for again := false; ; again = true {
		judge := h.o.Followed.Judge()
		if refused, err := locate(ask, w); refused != nil || err != nil {
			return nil, err // what refuses this refuses the command, and says so best
		}
		e := pgerror.From(judge(*w))
		if e == nil {
			return nil, nil
		}
		if e.Code != pgerror.CannotConnectNow || !time.Now().Before(until) {
			if again { // by nothing less than two answers a server is refused (ruling R32)
				return e, nil
			}
			continue
		}
		waiting()
		if err := deadline.Sleep(ctx, agreeDelay); err != nil {
			return nil, err
		}
	}
}

// locate asks for the system, timeline and position of a server, and for the history of its timeline unless w has it.
func locate(ask asking, w *walsource.Whereabouts) (refused *pgerror.Error, err error) {
	row, refused, err := ask("IDENTIFY_SYSTEM")
	if refused != nil || err != nil {
		return refused, err
	}
	if len(row) < 3 {
		return nil, errAnswer
	}
	system, err1 := strconv.ParseUint(row[0], 10, 64)
	timeline, err2 := strconv.ParseUint(row[1], 10, 32)
	at, err3 := lsn.Parse(row[2])
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, errors.Join(errAnswer, err)
	}
	known := w.History != nil && w.Timeline == lsn.TimelineID(timeline)
	w.System, w.Timeline, w.XLogPos = lsn.SystemID(system), lsn.TimelineID(timeline), at
	if known || timeline <= 1 {
		return nil, nil
	}
	if row, refused, err = ask("TIMELINE_HISTORY " + w.Timeline.String()); refused != nil || err != nil {
		return refused, err
	}
	if len(row) < 2 {
		return nil, errAnswer
	}
	w.History = []byte(row[1])
	return nil, nil
}

var errAnswer = errors.New("unexpected answer of the primary to where it is")
