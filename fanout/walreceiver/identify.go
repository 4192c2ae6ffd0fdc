package walreceiver

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Whereabouts is the answer to IDENTIFY_SYSTEM: a system, its timeline, and how far the server is.
type Whereabouts struct {
	System   lsn.SystemID
	Timeline lsn.TimelineID
	XLogPos  lsn.LSN
}

// IdentifySystem asks the server for its system, timeline and position. It blocks until the answer or the end of ctx.
// An answer that no server gives is [ErrProtocol].
func (c *Session) IdentifySystem(ctx context.Context) (w Whereabouts, err error) {
	res, err := c.s.Query(ctx, grammar.Render(&grammar.IdentifySystem{}, commandVersion))
	if err != nil {
		return w, fmt.Errorf("identify system: %w", err)
	}
	row, err := oneRow(res, 3)
	if err != nil {
		return w, fmt.Errorf("identify system: %w", err)
	}
	system, err1 := strconv.ParseUint(string(row[0]), 10, 64)
	tli, err2 := strconv.ParseUint(string(row[1]), 10, 32)
	pos, err3 := lsn.Parse(string(row[2]))
	if err := errors.Join(err1, err2, err3); err != nil || tli == 0 || system == 0 {
		return w, fmt.Errorf("identify system: %w: %q", ErrProtocol, row)
	}
	return Whereabouts{lsn.SystemID(system), lsn.TimelineID(tli), pos}, nil
}

// TimelineHistory asks for the content of t's history file. It blocks until the answer or the end of ctx. A file that
// the server lacks is the server's error.
func (c *Session) TimelineHistory(ctx context.Context, t lsn.TimelineID) ([]byte, error) {
	res, err := c.s.Query(ctx, grammar.Render(&grammar.TimelineHistory{Timeline: t}, commandVersion))
	if err != nil {
		return nil, fmt.Errorf("fetch history of timeline %s: %w", t, err)
	}
	row, err := oneRow(res, 2)
	if err != nil {
		return nil, fmt.Errorf("fetch history of timeline %s: %w", t, err)
	}
	if name := string(row[0]); name != t.HistoryFileName() {
		return nil, fmt.Errorf("fetch history of timeline %s: %w: unexpected file name %q", t, ErrProtocol, name)
	}
	return row[1], nil
}

// Settings asks for settings in one round trip. One that the server does not know, or keeps to itself, is left out.
func (c *Session) Settings(ctx context.Context, names []string) (map[string]string, error) {
	var commands []string
	for _, name := range names {
		commands = append(commands, "SHOW "+name)
	}
	answers, err := c.s.QueryAll(ctx, commands...)
	if err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	values := map[string]string{}
	for i, name := range names {
		if a := answers[i]; a.Err == nil {
			if row, err := oneRow(a.Results, 1); err == nil && len(a.Results) == 1 && len(row) == 1 {
				values[name] = string(row[0])
			}
		}
	}
	return values, nil
}
