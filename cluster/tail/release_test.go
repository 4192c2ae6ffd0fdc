package tail

import (
	"bytes"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/cluster/vote"
)

// TestReleaseIsTold: members say which version they run, to those who skip what they do not know, and not more than a
// name's length of it.
func TestReleaseIsTold(t *testing.T) {
	b, older, err := Encode(MemberStatus{Node: "b", Release: "v0.2.0"})
	if err != nil || bytes.Contains(b[:older], []byte("v0.2.0")) {
		t.Fatalf("%v: message version 1 has %s", err, b[:older])
	}
	if a, err := Decode("b", adds, b); err != nil || a.Release != "v0.2.0" {
		t.Errorf("%q, %v", a.Release, err)
	}
	if a, err := Decode("b", adds-1, b[:older]); err != nil || a.Release != "" {
		t.Errorf("%q, %v", a.Release, err)
	}
	b, _, err = Encode(MemberStatus{Node: "b", Release: strings.Repeat("v", 1000)})
	if err != nil {
		t.Fatal(err)
	}
	if a, err := Decode("b", adds, b); err != nil || len(a.Release) != vote.MaxName {
		t.Errorf("%d bytes, %v", len(a.Release), err)
	}
}

// TestOldMembersHearWhatIsOwed: an end that is not final is said to members of release v0.1.0 as well, which prove nothing by
// it.
func TestOldMembersHearWhatIsOwed(t *testing.T) {
	b, older, err := Encode(MemberStatus{Node: "b", Flushed: 100, Owed: 180, Complete: 100, Release: "v0.2.0"})
	if err != nil {
		t.Fatal(err)
	}
	for version, b := range map[int][]byte{adds - 1: b[:older], adds: b} {
		if a, err := Decode("b", version, b); err != nil || a.Flushed != 100 || a.Owed != 180 {
			t.Errorf("version %d: %+v, %v", version, a, err)
		}
	}
}
