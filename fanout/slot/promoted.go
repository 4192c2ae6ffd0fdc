package slot

import (
	"net/netip"
	"slices"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// Primary is a server that has become the primary, as it would appear as a standby. What is not known is zero, and
// shows nothing.
type Primary struct {
	Slot     string         // primary_slot_name that it has now
	Name     string         // cluster_name, which a walreceiver takes for application_name
	Host     string         // address without port at which it is reached
	Timeline lsn.TimelineID // that began with it
	Seen     time.Time      // when it was seen to be the primary
}

// PrimaryBy returns the names by which a server would appear as a standby, by its settings and the host at which it is
// reached. It returns the zero value for a server in recovery, and where streams is false: the settings may be another
// server's then. Timeline and Seen are the caller's.
func PrimaryBy(streams bool, settings map[string]string, host string) (p Primary) {
	if !streams || settings["in_hot_standby"] == "on" {
		return p
	}
	return Primary{Slot: settings["primary_slot_name"], Name: settings["cluster_name"], Host: host}
}

const (
	// promotedWithin bounds how long before a server was seen to be the primary it can have left its slot. It leaves
	// the slot when it is promoted, and a proxy finds it a few tries later.
	promotedWithin = time.Minute
	// promotedAfter bounds how long after that its session can have ended. The session ends before the server writes
	// WAL as the primary; the time is for a machine under load.
	promotedAfter = 10 * time.Second
)

// Promoted tells the slot that the server which is the primary now used last; false: that is not shown of any. all are
// the slots. slotless are the sessions without one. It is shown when all of this holds:
//   - that server's primary_slot_name says so. Nothing else tells two standbys with one cluster_name apart, as
//     Debian's '15/main', nor one that had no slot here from the one that had.
//   - nobody uses the slot, and its last session was here, on an older timeline. It ended when that server was
//     promoted, from promotedWithin before it was seen to be the primary until promotedAfter.
//   - that session bore the server's cluster_name, or came from its address, and no other session or slot does.
//     Another standby may have a slot of that name at another proxy.
//
// It is pure.
func Promoted(all []Info, slotless []User, p Primary) (name string, shown bool) {
	at := slices.IndexFunc(all, func(s Info) bool { return p.Slot != "" && s.Name == p.Slot })
	if at < 0 {
		return "", false
	}
	s := all[at]
	switch {
	case s.Temporary || s.Foreign || s.ActivePID != 0 || s.Lost != NotLost || s.User == (User{}):
		return "", false
	case s.User.Timeline >= p.Timeline: // it came back, or follows that server
		return "", false
	case s.Inactive.Before(p.Seen.Add(-promotedWithin)) || s.Inactive.After(p.Seen.Add(promotedAfter)):
		return "", false
	}
	others := slices.Clone(slotless)
	for i := range all {
		if i != at {
			others = append(others, all[i].User)
		}
	}
	named := p.Name != "" && s.User.Name == p.Name &&
		!slices.ContainsFunc(others, func(u User) bool { return u.Name == p.Name })
	return s.Name, named || alone(s.User.Host, p.Host, others)
}

// alone tells whether a session came from the host of a server, and none of others did. A loopback address may be any
// container's, or a forwarder's, so it shows nothing.
func alone(session, server string, others []User) bool {
	a, bad := netip.ParseAddr(session)
	b, bad2 := netip.ParseAddr(server)
	if bad != nil || bad2 != nil || a.Unmap() != b.Unmap() || a.Unmap().IsLoopback() {
		return false
	}
	return !slices.ContainsFunc(others, func(u User) bool {
		c, err := netip.ParseAddr(u.Host)
		return err == nil && c.Unmap() == a.Unmap()
	})
}
