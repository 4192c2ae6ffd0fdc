package lsn

import "testing"

func TestAncestorFile(t *testing.T) {
	const (
		two   = "1\t0/5000050\tno recovery target specified\n"
		three = two + "\n2\t0/6000050\tbefore 2026-11-05 10:00:00+00\n"
		five  = three + "\n# by hand\n\n3\t0/7000050\tno recovery target specified\n"
	)
	for _, c := range []struct {
		of      TimelineID
		content string
		want    string
		ok      bool
	}{
		{2, three, two, true}, {2, five, two, true}, {3, five, three + "\n# by hand\n", true},
		{1, three, "", false}, {4, five, "", false}, {3, three, "", false}, {2, "", "", false}, {2, "garbage", "", false},
		{2, "2\t0/5000050", "", true}, // recovery began there
		{2, "#2\t0/1\n", "", false},
	} {
		if got, ok := AncestorFile(c.of, []byte(c.content)); string(got) != c.want || ok != c.ok {
			t.Errorf("of %s in %q: %q, %t", c.of, c.content, got, ok)
		}
	}
}
