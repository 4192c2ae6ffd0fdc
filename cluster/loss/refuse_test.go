package loss

import (
	"errors"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// TestRefusal: who is refused is told why, and what to do.
func TestRefusal(t *testing.T) {
	given := Loss{Timeline: 2, From: 100, To: 200}
	own, unknown := given, given
	own.Own, unknown.From = true, 0
	for name, c := range map[string]struct {
		l    Loss
		here bool
		want []string
	}{
		"here":            {own, true, []string{"this proxy still has WAL beyond 0/64 of timeline 2, which was given up", "Restart"}},
		"here, by others": {given, true, []string{"which was given up on another one", "replproxy accept-timeline 2"}},
		"the standby": {own, false, []string{`standby "S b" may have WAL beyond 0/64 of timeline 2`, "It has WAL up to 0/96",
			"up to 0/C8", `replproxy made-anew "S b"`}},
		"nobody knows from where on":    {unknown, false, []string{`standby "S b" may have WAL of timeline 2 up to 0/C8, which was given up`}},
		"here, and nobody knows either": {unknown, true, []string{"this proxy still has WAL of timeline 2 up to 0/C8, which was given up"}},
	} {
		err := c.l.Refusal(c.here, "S b", lsn.Progress{Write: 150, Flush: 140, Apply: 130})
		var e *pgerror.Error
		if !errors.As(err, &e) || e.Code != pgerror.ObjectNotInPrerequisite {
			t.Fatalf("%s: %v", name, err)
		}
		text := strings.Join([]string{e.Message, e.Detail, e.Hint}, "\n")
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q is not in %q", name, want, text)
			}
		}
	}
}

// TestEnds: what is given up ends sessions of that timeline, and refuses those that have some of it.
func TestEnds(t *testing.T) {
	l := Loss{Timeline: 2, From: 100, To: 200}
	for _, c := range []struct {
		t    lsn.TimelineID
		has  lsn.LSN
		code pgerror.Code // "": it goes on
	}{
		{1, 150, ""}, {3, 150, ""}, {2, 100, pgerror.AdminShutdown}, {2, 101, pgerror.ObjectNotInPrerequisite},
		{2, 300, pgerror.ObjectNotInPrerequisite},
	} {
		err := l.Ends("s", c.t, c.has)
		if (err == nil) != (c.code == "") || err != nil && !pgerror.HasCode(err, c.code) {
			t.Errorf("%s on timeline %s: %v, expected %q", c.has, c.t, err, c.code)
		}
	}
}
