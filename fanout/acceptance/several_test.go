package acceptance

import (
	"errors"
	"testing"

	"github.com/replproxy/replproxy/fanout/walsource"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestEachRefusedTimelineIsAccepted: servers on several timelines are refused. An operator accepts whichever is the right
// one. Of two servers on one timeline the word covers both, or it is not taken.
func TestEachRefusedTimelineIsAccepted(t *testing.T) {
	less, more, other := *forked, *forked, *forked
	less.From += 0x1000
	more.To += 0x1000
	other.Of = 1
	for name, c := range map[string]struct {
		all   []*walsource.LackError
		t     lsn.TimelineID
		force bool
		want  string
		err   error
	}{
		"the last one":                {[]*walsource.LackError{lost, forked}, 3, false, "3 0/3000060 0/5000000 of 2 in 7", nil},
		"the first one":               {[]*walsource.LackError{lost, forked}, 2, false, "2 0/3000060 0/5000000 of 2 in 7", nil},
		"neither":                     {[]*walsource.LackError{lost, forked}, 4, false, "", errNothing},
		"two forks of one number":     {[]*walsource.LackError{&less, forked, lost}, 3, false, "3 0/3000060 0/5000000 of 2 in 7", nil},
		"the other way round":         {[]*walsource.LackError{lost, forked, &less}, 3, false, "3 0/3000060 0/5000000 of 2 in 7", nil},
		"neither covers the other":    {[]*walsource.LackError{&less, &other}, 3, false, "", errSeveral},
		"neither does, by force":      {[]*walsource.LackError{&less, &other}, 3, true, "3 force in 9", nil},
		"each lacks what one has":     {[]*walsource.LackError{&more, &less}, 3, false, "3 0/3000060 0/5001000 of 2 in 7", nil},
		"farther, and an earlier one": {[]*walsource.LackError{&less, {System: 7, Timeline: 3, From: 1, To: 9, Of: 2}}, 3, false, "", errSeveral},
	} {
		w, err := Say(words(c.all...), c.t, c.force, nil, func() (lsn.SystemID, error) { return 9, nil })
		if !errors.Is(err, c.err) || err == nil && w.String() != c.want {
			t.Errorf("%s: %q, %v", name, w, err)
		}
		if err == nil && w.Void(0, c.all, words(c.all...)) {
			t.Errorf("%s: it is over at the next look", name)
		}
	}
}

// TestWordsOfSeveral: a word is not over because of what other servers lack, and all that was refused is known later, but
// for what is given up.
func TestWordsOfSeveral(t *testing.T) {
	all, more := []*walsource.LackError{forked, lost}, *lost
	more.To++
	if w := For(lost); w.Void(0, all, nil) || w.Void(0, all[:1], nil) || !w.Void(0, []*walsource.LackError{forked, &more}, nil) {
		t.Error("the word about one of several servers")
	}
	if w := word(t, "3"); !w.Void(0, all, nil) || w.Void(0, all, words(all...)) || !w.Void(0, all[1:], words(all...)) {
		t.Error("the word that v0.1.0 wrote")
	}
	look := For(lost).At(0, all, words(forked))
	if !look.Note || len(look.Lacking) != 2 || For(lost).At(0, all, look.Lacking).Note {
		t.Errorf("%+v", look)
	}
	if got := Refused(words(all...), Word{}); len(got) != 2 || *got[0] != *forked || *got[1] != *lost {
		t.Errorf("%+v", got)
	}
	other := *lost
	other.To--
	if got := Refused(words(forked, &other), Use(forked, nil, nil)); len(got) != 1 || *got[0] != other {
		t.Errorf("one is given up: %+v", got)
	}
}
