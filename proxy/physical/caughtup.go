package physical

import (
	"context"
	"errors"
	"time"

	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/deadline"
)

// CaughtUp names the setting that a physical walsender may SHOW of this proxy itself. It is "on" when the store has
// all WAL that its primary had when it was asked just now, or when its timeline is fenced. Other servers, and release
// v0.1.0, know no such setting.
const CaughtUp = "replproxy.caught_up"

// catchUp bounds the wait for WAL that the primary has and the store has not yet: in an intact stream milliseconds.
const catchUp = 5 * time.Second

func (s *session) asksCaughtUp(c grammar.Command) bool {
	show, ok := c.(*grammar.Show)
	return ok && s.h.o.Followed != nil && show.Name == CaughtUp
}

// caughtUp asks the primary where it is, over the session's own connection.
func (s *session) caughtUp(parent, ctx context.Context, before []byte, c *grammar.Show) error {
	if s.h.o.Followed.Final() {
		return s.send(s.ready(append(before, caughtUpRow(true)...)))
	}
	linked, err := s.linked(parent)
	switch {
	case err != nil:
		return s.fail(before, err)
	case !linked:
		return s.fail(before, errReconnect(c))
	}
	if err = s.forward(parent, ctx, c, ""); errors.Is(err, errLinkLost) {
		return s.fail(before, errReconnect(c))
	}
	return err
}

func caughtUpRow(on bool) []byte {
	value := map[bool]string{true: "on", false: "off"}[on]
	return appendResult(nil, "SHOW", showColumns(CaughtUp), text(value))
}

// answerCaughtUp answers SHOW replproxy.caught_up in place of the primary, whose position link.at has since agree asked
// for it. It blocks until the store has all WAL up to there, catchUp at most: then the answer is off. It returns an
// error when the command is broken off, or the client takes nothing.
func (p *passing) answerCaughtUp() error {
	w := p.s.link.at
	for until := time.Now().Add(catchUp); ; {
		err := p.s.h.o.Followed.Holds(lsn.Point{Timeline: w.Timeline, LSN: w.XLogPos})
		if err == nil || !time.Now().Before(until) {
			p.begun = true
			return p.s.client.put(appendReady(caughtUpRow(err == nil)))
		}
		if err := deadline.Sleep(p.ctx, endDelay); err != nil {
			return err
		}
	}
}
