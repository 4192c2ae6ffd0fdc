package tail

import (
	"net/url"
	"testing"

	"github.com/replproxy/replproxy/cluster/vote"
)

// FuzzAsk reads the query of GET /tail, on the control socket and on the http port: what is accepted names
// timelines and ends that can be.
func FuzzAsk(f *testing.F) {
	for _, s := range []string{
		"", "timeline=1&candidate=s1&end=s1%3D0/3000000&end=s2=0/0", "timeline=0", "timeline=4294967296", "end==0/1", "end=s1",
		"end=s1=0/0=0/1", "candidate=%00%ff", "timeline=1&timeline=2",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		q, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		ask, err := ParseAsk(q.Get("timeline"), q.Get("candidate"), q["end"])
		if err != nil {
			return
		}
		if (q.Get("timeline") != "") != (ask.Timeline != 0) {
			t.Fatalf("timeline %q became %s", q.Get("timeline"), ask.Timeline)
		}
		if len(ask.Ends) > len(q["end"]) {
			t.Fatalf("%d ends of %d", len(ask.Ends), len(q["end"]))
		}
		for name := range ask.Ends {
			if name == "" || name != vote.Fold(name) {
				t.Fatalf("end of %q", name)
			}
		}
	})
}
