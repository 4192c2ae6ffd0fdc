package replproxy

import (
	"os"
	"path"
	"regexp"
	"testing"
)

// places names for each behaviour the files that have it, and the function that does it there. A newcomer who looks at
// the tree alone guesses one of them first. Two lines of one behaviour are two rooms that share it.
var places = []struct{ behaviour, file, function string }{
	{"slot invalidated by size", "fanout/slot/invalidate.go", "Invalidate"},
	{"slot adopted", "fanout/slot/adopt.go", "Adopt"},
	{"slot adopted", "fanout/adopt.go", "adopt"},
	{"segment recycled", "fanout/walstore/recycle.go", "retain"},
	{"keepalive reply throttled", "fanout/walreceiver/throttle.go", "due"},
	{"SIGHUP changes the rule", "cluster/rule.go", "SetRule"},
	{"SIGHUP changes the rule", "cmd/replproxy/daemon/reload.go", "reload"},
	{"fence", "cluster/fence.go", "Fence"},
	{"a member is forgotten", "cluster/forget.go", "Forget"},
	{"channel binding refused", "handshake/scramauth/channelbinding.go", "judgeBinding"},
	{"vote expires", "cluster/ledger/expire.go", "silent"},
	{"half-close", "proxy/relay/halfclose.go", "closeWrite"},
	{"half-close", "proxy/relay/halfclose_linux.go", "finish"},
	{"certificate demanded", "handshake/clienttls/clientcert.go", "Admit"},
	{"cancel request", "proxy/cancel.go", "cancel"},
	{"two sessions of one name", "cluster/ledger/samename.go", "voters"},
	{"two sessions of one name", "proxy/report/samename.go", "sameNameWarnings"},
}

// searches lists the searches of a newcomer, and in how many rooms each of them is at least: a line of places that
// vanishes is noticed.
var searches = map[string]int{
	"slot invalidated by size": 1, "slot adopted": 2, "SIGHUP changes the rule": 2, "fence": 1, "segment recycled": 1,
	"keepalive reply throttled": 1, "channel binding refused": 1, "vote expires": 1, "half-close": 2,
	"certificate demanded": 1, "cancel request": 1, "two sessions of one name": 2,
}

// TestFirstGuess: the file of each behaviour exists and holds the function, and none of the searches is left out.
func TestFirstGuess(t *testing.T) {
	lines := map[string]int{}
	for _, p := range places {
		lines[p.behaviour]++
		text, err := os.ReadFile(p.file)
		if err != nil {
			t.Errorf("%s: %v", p.behaviour, err)
			continue
		}
		declares := regexp.MustCompile(`(?m)^func (?:\([^)]*\) )?` + regexp.QuoteMeta(p.function) + `\(`)
		if !declares.Match(text) {
			t.Errorf("%s: %s has no function %s", p.behaviour, p.file, p.function)
		}
	}
	for behaviour, rooms := range searches {
		if lines[behaviour] < rooms {
			t.Errorf("%s: places has %d lines of it, %d are expected", behaviour, lines[behaviour], rooms)
		}
	}
}

var goFile = regexp.MustCompile(`(?:[\w.]+/)*\w+\.go\b`)

// TestFilesThatCommentsName: a comment that sends its reader to a file names one that is there, beside it or from the
// root.
func TestFilesThatCommentsName(t *testing.T) {
	seen := 0
	for _, s := range sources(t) {
		for _, g := range s.file.Comments {
			for _, name := range goFile.FindAllString(g.Text(), -1) {
				seen++
				if _, err := os.Stat(path.Join(s.dir, name)); err == nil {
					continue
				}
				if _, err := os.Stat(name); err != nil {
					t.Errorf("%s: there is no %s", s.fset.Position(g.Pos()), name)
				}
			}
		}
	}
	if seen < 30 {
		t.Errorf("%d names were found", seen)
	}
}
