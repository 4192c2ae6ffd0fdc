package backfill

import (
	"errors"
	"io"
	"strings"
	"testing"
)

// TestAnswers: WAL is absent when every member says so. One that was not reached, or that fails, may have it.
func TestAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		all    []string
		said   map[string]error
		absent bool
		words  string
	}{
		"all lack it":     {[]string{"b", "c"}, map[string]error{"b": ErrAbsent, "c": ErrTimelineEnded}, true, "no other member of the cluster has it"},
		"one is silent":   {[]string{"b", "c"}, map[string]error{"b": ErrAbsent}, false, "member c is not reached"},
		"one fails":       {[]string{"b", "c"}, map[string]error{"b": ErrAbsent, "c": io.EOF}, false, "member c: EOF"},
		"nobody is there": {[]string{"b"}, nil, false, "member b is not reached"},
		"no others":       {nil, nil, true, "no other member of the cluster has it"},
	} {
		var a Answers
		for member, err := range c.said {
			a.Refused(member, err)
		}
		err := a.Err(c.all)
		if errors.Is(err, ErrAbsent) != c.absent || Absent(err) != c.absent || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
