package tail

import (
	"fmt"
	"testing"
)

// TestBackupsTravel: a member says whose base backups run through it, to those who skip what they do not know. Of more
// than it may name it says so.
func TestBackupsTravel(t *testing.T) {
	b, older, err := Encode(MemberStatus{Node: "b", Backups: []string{"s1", "s2"}})
	if err != nil {
		t.Fatal(err)
	}
	if a, err := Decode("b", adds, b); err != nil || !a.BacksUp("s1") || !a.BacksUp("s2") || a.BacksUp("s3") {
		t.Errorf("%q, %v", a.Backups, err)
	}
	if a, err := Decode("b", adds-1, b[:older]); err != nil || a.BacksUp("s1") {
		t.Errorf("%q, %v", a.Backups, err)
	}
	var many []string
	for i := range MaxBackups + 1 {
		many = append(many, fmt.Sprint("s", i))
	}
	b, _, err = Encode(MemberStatus{Node: "b", Backups: many})
	if err != nil {
		t.Fatal(err)
	}
	if a, err := Decode("b", adds, b); err != nil || len(a.Backups) != MaxBackups+1 || !a.BacksUp("another") {
		t.Errorf("%q, %v", a.Backups, err)
	}
}
