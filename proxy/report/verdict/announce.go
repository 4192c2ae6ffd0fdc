package verdict

import (
	"time"

	"github.com/replproxy/replproxy/proxy/admin"
)

const (
	// Interval spaces the looks at the verdict.
	Interval = time.Second
	// announceEvery bounds the lines of the log about the verdict: a voter that comes and goes gives six a minute.
	announceEvery = 10 * time.Second
)

// Announcer decides when a verdict is logged: when it is another one for two looks on end, and no sooner than
// announceEvery after the last line. Numbers that change make no other verdict. The zero value has said nothing.
type Announcer struct {
	said, seen admin.Verdict
	at         time.Time
}

// Due reports whether this verdict, of that time, is to be logged, and takes it for said then.
func (a *Announcer) Due(now time.Time, v admin.Verdict) bool {
	steady := same(v, a.seen)
	a.seen = v
	if !steady || same(v, a.said) || !a.at.IsZero() && now.Sub(a.at) < announceEvery {
		return false
	}
	a.said, a.at = v, now
	return true
}

func same(a, b admin.Verdict) bool { return a.State == b.State && a.Cause == b.Cause }
