package quorum_test

import (
	"fmt"

	"github.com/replproxy/replproxy/cluster/quorum"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/syncrep"
)

// Two of three have 90. The third one catches up and is no candidate.
func ExampleEvaluate() {
	rule, err := syncrep.Parse("ANY 2 (s1, s2, s3)")
	if err != nil {
		panic(err)
	}
	at := func(p lsn.LSN) lsn.Progress { return lsn.Progress{Write: p, Flush: p, Apply: p} }
	result := quorum.Evaluate(rule, []quorum.Voter{
		{Name: "s1", ID: 1, Streaming: true, Positions: at(0x90)},
		{Name: "s2", ID: 2, Streaming: true, Positions: at(0x95)},
		{Name: "s3", ID: 3, Positions: at(0x20)},
	})
	fmt.Println(result.Satisfied, result.Candidates, result.Positions.Flush)
	// Output: true 2 0/90
}
