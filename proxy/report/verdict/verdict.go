package verdict

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/replproxy/replproxy/docs"
	"github.com/replproxy/replproxy/proxy/admin"
)

// Graded lists the warnings of a document by their consequence, each list with the worst first.
type Graded struct {
	Stops []string // WAL does not come, commits wait or will
	Loses []string // something is lost or missing unless somebody acts
	SetUp []string // configuration and certificates
}

// finding is a reason for a state that holds now.
type finding struct {
	state string
	head  string    // in place of the state and its duration; "": those
	since time.Time // zero: since it was noticed
	cause string    // without what changes from second to second
	why   string
	do    string
	page  string // section of the runbook

	warning string // that the runbook quotes, in place of page
}

// judges lists the reasons, the gravest first: the first that holds is the verdict.
func judges() []func(*look) *finding {
	return []func(*look) *finding{
		stopping, lostWAL, streamStopped, noPrimary, diskFull,
		noWAL, notHeardYet, heldBack,
		waits,
		diskFilling, stopsWarned, votersAway, memberSilent, losesWarned, slotsAway,
	}
}

// look holds one document while it is judged.
type look struct {
	*admin.Status
	warnings Graded
	past     Past
}

// Judge returns the verdict on a document that has all its warnings.
func Judge(s *admin.Status, warnings Graded, past Past) admin.Verdict {
	l := &look{Status: s, warnings: warnings, past: past}
	for _, judge := range judges() {
		if f := judge(l); f != nil {
			return l.verdict(f)
		}
	}
	return l.verdict(well(l))
}

// verdict words a finding.
func (l *look) verdict(f *finding) admin.Verdict {
	v := admin.Verdict{State: f.state, Since: f.since, Cause: f.cause, Why: f.why, Do: f.do}
	if v.Since.IsZero() {
		v.Since = l.Now
		if l.past.State == f.state {
			v.Since = l.past.Since
		}
	}
	v.Since = v.Since.UTC()
	if f.page != "" {
		v.Runbook = docs.RunbookURL + "#" + f.page
	}
	if f.warning != "" {
		v.Runbook = docs.Section(f.warning)
	}
	head := cmp.Or(f.head, strings.ToUpper(f.state)+" "+span(l.Now.Sub(v.Since)))
	v.Text = head + ": " + f.why
	if f.do != "" {
		v.Text += " → " + f.do
	}
	return v
}

// well describes a proxy of which nothing is to be said but how far its standbys are.
func well(l *look) *finding {
	why := "no standby is attached"
	if n := len(l.Standbys); n > 0 {
		furthest := l.Standbys[0]
		for _, b := range l.Standbys[1:] {
			if b.LagBytes > furthest.LagBytes {
				furthest = b
			}
		}
		why = counted(n, "standby is", "standbys are") + " attached, none is behind"
		if furthest.LagBytes > 0 {
			why = fmt.Sprintf("%s attached, at most %s behind (%s)", counted(n, "standby is", "standbys are"),
				size(furthest.LagBytes), named(furthest.ApplicationName))
		}
	}
	if r := l.rules(); len(r) > 0 {
		why = r[0].has() + "; " + why
	}
	f := &finding{state: admin.VerdictOK, why: why}
	if n := len(l.warnings.SetUp); n > 0 {
		f.do = "read " + counted(n, "warning", "warnings") + " about how it is set up"
	}
	return f
}
