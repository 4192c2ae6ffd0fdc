package tail

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// ParseTimeline reads the number of a timeline that is to be left, as an operator writes it; 0 is none.
func ParseTimeline(text string) (lsn.TimelineID, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("--timeline: %q is no timeline; the one to fence is the old primary's", text)
	}
	return lsn.TimelineID(n), nil
}

// ParseAsk reads an ask as the flags of replproxy tail have it; an empty timeline or candidate asks without one. The
// error names the flag.
func ParseAsk(timeline, candidate string, ends []string) (ask Ask, err error) {
	if timeline != "" {
		if ask.Timeline, err = ParseTimeline(timeline); err != nil {
			return ask, err
		}
	}
	ask.Candidate, ask.Ends = vote.Fold(candidate), map[string]lsn.LSN{}
	for _, text := range ends {
		i := strings.LastIndexByte(text, '=')
		at, err := lsn.Parse(text[i+1:])
		if i < 1 || err != nil {
			return ask, fmt.Errorf("--end: %q is not NAME=LSN", text)
		}
		ask.Ends[vote.Fold(text[:i])] = at
	}
	return ask, nil
}
