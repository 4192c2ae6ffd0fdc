package walsource

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// TestRefusalSaysWhatIsABound: acknowledged WAL is known as a bound after a crash, WAL that a primary has lost is not.
func TestRefusalSaysWhatIsABound(t *testing.T) {
	for text, e := range map[string]LackError{
		"timeline 2 lacks acknowledged WAL from 0/10 to 0/20 (SQLSTATE 55000); DETAIL: After a crash all that was stored " +
			"counts as acknowledged.; HINT: Promote a": {Timeline: 2, From: 16, To: 32, Of: 1},
		"(SQLSTATE 55000); DETAIL: c knows of it. After a crash all that was": {Timeline: 2, From: 16, To: 32, Of: 1, By: "c"},
		"of timeline 2 (SQLSTATE 55000); DETAIL: c knows of it.; HINT: Stop":  {Timeline: 2, From: 16, To: 32, Of: 2, Lost: true, By: "c"},
	} {
		if got := pgerror.Describe(e.refusal(words{})); !strings.Contains(got, text) {
			t.Errorf("%q is not in %q", text, got)
		}
	}
}

// TestRefusalIsLoggedOnce: a member goes on reporting what the refused servers lack, or a server's position moves. That
// is the same reason, and logged as such. Another timeline, or another member that knows of it, is another one.
func TestRefusalIsLoggedOnce(t *testing.T) {
	const fork = lsn.LSN(0x5000000)
	var log strings.Builder
	r := with(t, Options{Store: newMemStore()})
	r.log, r.refusals = slog.New(slog.NewTextHandler(&log, nil)), map[string]string{}
	lacks := func(timeline lsn.TimelineID, to lsn.LSN, by string) error {
		return (&LackError{System: 7, Timeline: timeline, From: fork, To: to, Of: 1, By: by}).refusal(words{})
	}
	ahead := func(end lsn.LSN) error {
		return fmt.Errorf("start: %w", pgerror.New(pgerror.ObjectNotInPrerequisite,
			"requested starting point %s is ahead of the WAL flush position of this server %s", fork, end))
	}
	for name, said := range map[string]func(error){
		"of the attempt": r.failed,
		"of a host":      func(err error) { r.logRefusal("h:5432", err) },
	} {
		for _, c := range []struct {
			err   error
			lines int
		}{
			{lacks(2, fork+100, "c"), 1},
			{lacks(2, fork+200, "c"), 0},
			{lacks(2, fork+300, "d"), 1},
			{lacks(3, fork+300, "d"), 1},
			{lacks(3, fork+400, "d"), 0},
			{ahead(fork - 100), 1},
			{ahead(fork - 50), 0},
		} {
			log.Reset()
			said(c.err)
			if n := strings.Count(log.String(), "\n"); n != c.lines {
				t.Errorf("%s, %v: %d lines, not %d", name, c.err, n, c.lines)
			}
		}
	}
}
