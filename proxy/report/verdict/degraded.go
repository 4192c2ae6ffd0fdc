package verdict

import (
	"fmt"
	"strings"
	"time"

	"github.com/replproxy/replproxy/proxy/admin"
)

func diskFilling(l *look) *finding {
	s := &l.Store
	if s.VolumeBytes == 0 || s.FreeBytes >= l.Limits.MinFree && !s.DiskFull {
		return nil
	}
	f := &finding{
		state: admin.VerdictDegraded, cause: "the disk fills", page: pageDisk, do: l.makeRoom(),
		why: fmt.Sprintf("the volume of data_dir has %s free, less than wal.min_free (%s): slots and slow standbys "+
			"lose WAL beyond wal.keep_size", size(s.FreeBytes), size(l.Limits.MinFree)),
	}
	if s.DiskFull {
		f.why = fmt.Sprintf("the volume of data_dir is full: %s of WAL are in memory only, and receiving stops when "+
			"that is used up", size(int64(s.Received-s.Written)))
	}
	return f
}

// gone delays the verdict on a standby that has left: it may be restarted, or move to another proxy.
const gone = 30 * time.Second

// slotsAway judges that standbys with a slot are away: what they need is kept, and is more each minute.
func slotsAway(l *look) *finding {
	var words, names []string
	var since time.Time
	for _, s := range l.Slots {
		elsewhere := s.Owner != "" && s.Owner != l.Name
		if s.Active || elsewhere || s.Reason != "" || s.Temporary || s.Restart == 0 || s.InactiveSince.IsZero() ||
			l.Now.Sub(s.InactiveSince) < gone {
			continue
		}
		names = append(names, s.Name)
		words = append(words, fmt.Sprintf("%s since %s (%s held)", s.Name, clock(s.InactiveSince, l.Now),
			size(s.HeldBytes)))
		if since.IsZero() || s.InactiveSince.Before(since) {
			since = s.InactiveSince
		}
	}
	if len(names) == 0 {
		return nil
	}
	slots := "the slot"
	if len(names) > 1 {
		slots = "slots"
	}
	return &finding{
		state: admin.VerdictDegraded, since: since, cause: "slots without a standby: " + strings.Join(names, ", "),
		page: pageSlots, why: "nobody uses " + slots + " " + bounded(words),
		do: "start the standby, or drop the slot if it is gone for good",
	}
}

// maxNamed bounds the names in one sentence: more are not read.
const maxNamed = 3

func bounded(words []string) string {
	if n := len(words); n > maxNamed {
		return fmt.Sprintf("%s and %d more", strings.Join(words[:maxNamed], ", "), n-maxNamed)
	}
	return list(words)
}

// memberSilent judges that another proxy of the cluster is not heard, and that the rule does without it.
func memberSilent(l *look) *finding {
	w := l.warnedOf("not heard: ")
	if w == "" || l.Cluster == nil {
		return nil
	}
	var names, words []string
	var since time.Time
	for _, p := range l.Cluster.Peers {
		at := p.LastHeard
		if at.IsZero() {
			at = l.StartedAt
		}
		if !p.Heard.IsZero() || l.Now.Sub(at) < grace {
			continue
		}
		names = append(names, p.Name)
		words = append(words, p.Name+" since "+clock(at, l.Now))
		if since.IsZero() || at.Before(since) {
			since = at
		}
	}
	if len(names) == 0 {
		return nil
	}
	return &finding{
		state: admin.VerdictDegraded, since: since, cause: "members are silent: " + strings.Join(names, ", "),
		why: "silent: " + bounded(words), do: "start " + list(names), warning: w,
	}
}

// stopsWarned judges by the first warning of what stops WAL or commits, or is about to.
func stopsWarned(l *look) *finding { return l.warned(l.warnings.Stops) }

// losesWarned judges by the first warning of what is lost or missing.
func losesWarned(l *look) *finding { return l.warned(l.warnings.Loses) }

// warned judges by the first of some warnings.
func (l *look) warned(all []string) *finding {
	if len(all) == 0 {
		return nil
	}
	f := &finding{state: admin.VerdictDegraded, why: brief(all[0]), cause: cause(all[0]), warning: all[0]}
	if n := len(l.warnings.Stops) + len(l.warnings.Loses) - 1; n > 0 {
		f.do = "read " + counted(n, "more warning", "more warnings")
	}
	return f
}

// cause returns a warning without its numbers.
func cause(warning string) string {
	var words []string
	for _, w := range strings.Fields(brief(warning)) {
		if !strings.ContainsAny(w, "0123456789") {
			words = append(words, w)
		}
	}
	return strings.Join(words, " ")
}
