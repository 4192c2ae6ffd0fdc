package show

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/cluster/tail"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

func TestTailGolden(t *testing.T) {
	rule := vote.Rule{RuleText: vote.RuleText{Names: "ANY 2 (s1, s2, s3)"}, Generation: 1, Established: true}
	status := func(node string, fenced bool, standbys ...tail.Standby) tail.MemberStatus {
		a := tail.MemberStatus{
			Node: node, Timeline: 2, Begin: 0x3000000, Received: 0x5000100, Written: 0x5000100, Flushed: 0x5000100,
			Standbys: standbys,
		}
		if fenced {
			a.Fenced = 2
		}
		return a
	}
	standby := func(name string, at lsn.LSN) tail.Standby {
		return tail.Standby{
			Name: name, State: "streaming", Timeline: 2, Sent: 0x5000100, Write: at, Flush: at, Apply: at,
			Attached: now.Add(-time.Hour), Replied: now.Add(-3 * time.Second),
		}
	}
	doc := tail.Look([]tail.Member{
		{Status: status("proxy_a", true, standby("s1", 0x5000000)), Said: true, Reached: true, Heard: true, Rule: rule},
		{Status: status("proxy_b", false, standby("s2", 0x5000100)), Said: true, Heard: true, Rule: rule, Age: 42.4},
		{Status: tail.MemberStatus{Node: "proxy_c"}},
	}, tail.Ask{})
	var b bytes.Buffer
	Tail(&b, &doc, now)
	const path = "testdata/tail.txt"
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, _ := os.ReadFile(path); !bytes.Equal(want, b.Bytes()) {
		t.Errorf("--- got\n%s--- want\n%s", b.Bytes(), want)
	}
}

// TestNoCandidates: where all standbys were at a proxy that is not reached, it is said how to go on without that one.
func TestNoCandidates(t *testing.T) {
	doc := tail.Look([]tail.Member{
		{Status: tail.MemberStatus{Node: "proxy_a", Timeline: 2}, Said: true, Reached: true},
		{Status: tail.MemberStatus{Node: "proxy_b", Timeline: 2}, Said: true},
	}, tail.Ask{})
	var b bytes.Buffer
	Tail(&b, &doc, now)
	if text := b.String(); !strings.Contains(text, "no candidates: ") || !strings.Contains(text, "start proxy_b again; or, ") ||
		!strings.Contains(text, "--end proxy_b=LSN (docs/failover.md, A proxy is gone for good)") || strings.Contains(text, "start proxy_a") {
		t.Errorf("%s", text)
	}
}
