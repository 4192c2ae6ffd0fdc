package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/replproxy/replproxy/fanout"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/syncrep"
	"github.com/replproxy/replproxy/internal/tcpopt"
	"github.com/replproxy/replproxy/proxy/admin"
	"github.com/replproxy/replproxy/proxy/config"
)

func standbyStatus(b fanout.Standby, received lsn.LSN) admin.Standby {
	s := admin.Standby{
		PID: b.PID, User: b.User, ApplicationName: b.ApplicationName, Label: b.Label,
		ClientAddr: tcpopt.Host(b.ClientAddr), BackendStart: b.BackendStart, State: b.State.String(),
		Sent: b.Sent, Write: b.Write, Flush: b.Flush, Replay: b.Apply,
		WriteLag: seconds(b.WriteLag), FlushLag: seconds(b.FlushLag), ReplayLag: seconds(b.ApplyLag),
		ReplyTime: b.LastReply, SyncState: b.SyncState, SyncPriority: b.SyncPriority,
		Timeline: b.Timeline, Slot: b.Slot,
		Xmin: uint64(b.Feedback.Xmin), CatalogXmin: uint64(b.Feedback.CatalogXmin),
	}
	has := b.Flush
	if has == lsn.Invalid {
		has = b.Sent // pg_receivewal without --synchronous never reports a flush
	}
	if has != lsn.Invalid && received > has {
		s.LagBytes = int64(received - has)
	}
	if b.Bounded {
		s.SendWhen, s.Covered = config.SendCovered, b.Covered
		if at := max(b.Covered, b.Sent); received > at {
			s.HeldBytes = int64(received - at)
		}
	}
	return s
}

// seconds returns a lag for the document; a negative one is not known.
func seconds(d time.Duration) *float64 {
	if d < 0 {
		return nil
	}
	s := d.Seconds()
	return &s
}

// standbyWarnings returns warnings about send_when: covered: whom it does not hold although an entry seems to say so,
// and who has more than it lets him have. ruled: a rule is in use.
func standbyWarnings(c *config.Config, s *admin.Status, ruled bool) (all []string) {
	if c.CoversAny() == nil {
		return nil
	}
	rule, err := syncrep.Parse(c.SynchronousStandbyNames)
	switch {
	case err != nil: // never: the configuration is valid
	case !ruled && rule.Empty():
		all = append(all, "standbys has send_when: covered, but there is no rule that covers anything: "+
			"all WAL is sent as it comes")
	}
	var voters []string
	for _, name := range rule.Names {
		switch {
		case name == syncrep.Wildcard:
			all = append(all, "standbys has send_when: covered, but the rule counts every standby (*): nobody is held")
		case c.Covered(name) && !everybody(c, name):
			voters = append(voters, syncrep.QuoteName(name))
		}
	}
	if len(voters) > 0 {
		all = append(all, fmt.Sprintf("standbys has send_when: covered for %s, which the rule counts: "+
			"voters are sent everything", strings.Join(voters, ", ")))
	}
	for _, b := range s.Standbys {
		if b.SendWhen == config.SendCovered && b.Covered != lsn.Invalid && b.Flush > b.Covered {
			all = append(all, fmt.Sprintf("standby %s has WAL up to %s, the rule covers %s: a failover now could "+
				"leave it ahead; it is sent nothing more before that is covered",
				b.ApplicationName, b.Flush, b.Covered))
		}
	}
	return all
}

// everybody reports whether the entry that holds for a name is that for all who have none of their own.
func everybody(c *config.Config, name string) bool {
	for _, s := range c.Standbys {
		if s.Has(name) {
			return s.Pattern == syncrep.Wildcard
		}
	}
	return false
}
