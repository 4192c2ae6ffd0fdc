package show

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/replproxy/replproxy/proxy/admin"
)

// Status prints the whole document.
func Status(w io.Writer, s *admin.Status) {
	Verdict(w, &s.Verdict)
	Servers(w, s)
	state := "ready"
	if !s.Ready {
		state = "not ready: " + once(s, s.NotReady)
	}
	fmt.Fprintf(w, "%s, %s, up %s, version %s\n\n", Clean(s.Name), Clean(state), since(s.StartedAt, s.Now), s.Version)
	t := table(w)
	upstream(t, s)
	store(t, s)
	n := s.Sessions
	fmt.Fprintf(t, "sessions\t%d regular, %d physical, %d logical, %d starting; "+
		"%d accepted, %d refused, %d log-ins failed\n",
		n.Regular, n.Physical, n.Logical, n.StartingN, n.Accepted, n.Refused, n.LoginFailures)
	accepted(t, s.Accepted)
	encryption(t, s)
	configuration(t, s)
	t.Flush()
	for _, warning := range s.Warnings {
		fmt.Fprintf(w, "warning  %s\n", Clean(once(s, warning)))
	}
	for _, at := range remedies(s.Warnings) {
		fmt.Fprintf(w, "what to do: %s\n", at)
	}
	Quorum(w, &s.Quorum, s.Now)
	cluster(w, s.Cluster, s.Now)
	fmt.Fprintln(w)
	Standbys(w, s.Standbys)
	if len(s.Slots) > 0 {
		fmt.Fprintln(w)
		slots(w, s.Slots)
	}
	idle(w, s.Idle)
}

// idle prints the slots that hold WAL on the primary itself. Those that a member moves as its own are in use.
func idle(w io.Writer, all []admin.Idle) {
	all = slices.DeleteFunc(slices.Clone(all), func(i admin.Idle) bool { return i.Member != "" })
	if len(all) == 0 {
		return
	}
	fmt.Fprintln(w)
	t := table(w)
	fmt.Fprintln(t, "idle on the primary\ttype\trestart\theld\tstatus\there")
	for _, i := range all {
		here := i.Real
		if i.Absent != "" {
			here = Clean(i.Absent) + " goes on from it, and is not heard"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n",
			i.Name, i.Type, Position(i.Restart), Bytes(i.HeldBytes), orDash(i.Status), orDash(here))
	}
	t.Flush()
}

func upstream(t io.Writer, s *admin.Status) {
	u := s.Upstream
	line := u.State
	if u.Endpoint != "" {
		line = Clean(u.Endpoint) + " " + line
	}
	if u.Member != "" {
		line = "member " + line
	}
	if !u.Since.IsZero() {
		line += " for " + since(u.Since, s.Now)
	}
	if u.ServerVersion != "" {
		line += ", PostgreSQL " + Clean(u.ServerVersion)
	}
	if u.Slot != "" {
		line += ", slot " + u.Slot
	}
	if u.SlotState != "" {
		line += " (" + Clean(u.SlotState) + ")"
	}
	fmt.Fprintf(t, "upstream\t%s\n", line)
	for _, e := range u.Errors {
		fmt.Fprintf(t, "\t%s, for %s\n", Clean(e.String()), since(e.Since, s.Now))
	}
	fmt.Fprintf(t, "reported\twrite %s, flush %s, apply %s\n",
		Position(u.ReportedWrite), Position(u.ReportedFlush), Position(u.ReportedApply))
}

// once returns text without the hosts' reasons, which have lines of their own where there is more than one.
func once(s *admin.Status, text string) string {
	if len(s.Upstream.Errors) < 2 {
		return text
	}
	return strings.ReplaceAll(text, s.Upstream.Reasons(), "see upstream")
}

// accepted prints a word of accept-timeline that is not used yet.
func accepted(t io.Writer, a *admin.Accepted) {
	switch {
	case a == nil:
	case a.To == 0:
		fmt.Fprintf(t, "accepted\ttimeline %s, whatever it lacks\n", a.Timeline)
	case a.From == 0:
		fmt.Fprintf(t, "accepted\ttimeline %s without timeline %s up to %s\n", a.Timeline, a.Of, Position(a.To))
	default:
		fmt.Fprintf(t, "accepted\ttimeline %s without %s to %s of timeline %s\n",
			a.Timeline, Position(a.From), Position(a.To), a.Of)
	}
}

// encryption prints the encrypted connections when there are some, and who verifies when it is not the primary.
func encryption(t io.Writer, s *admin.Status) {
	if s.Auth.Method == "scram" {
		fmt.Fprintf(t, "auth\tscram: %d roles known of the primary, %d in the file\n", s.Auth.Roles, s.Auth.InFile)
	}
	clients := 0
	for _, row := range s.SSL {
		if row.PID == 0 {
			leg := "primary"
			if s.Upstream.Member != "" {
				leg = "member " + Clean(s.Upstream.Member)
			}
			fmt.Fprintf(t, "tls\t%s: %s %s, %s\n", leg, row.Version, row.Cipher, orDash(Clean(row.PeerDN)))
		} else if row.Leg == "client" {
			clients++
		}
	}
	if s.TLS.Mode != "" && s.TLS.Mode != "off" {
		fmt.Fprintf(t, "tls\tclients: %s, %d connected so, certificate %s until %s\n",
			s.TLS.Mode, clients, orDash(Clean(s.TLS.Subject)), s.TLS.NotAfter.UTC().Format(time.DateOnly))
	}
}

// configuration prints the keys that a reload has changed, after a reload only.
func configuration(t io.Writer, s *admin.Status) {
	c := s.Config
	if c.Generation < 2 && c.LastError == "" {
		return
	}
	fmt.Fprintf(t, "config\tgeneration %d, loaded %s ago\n", c.Generation, since(c.LoadedAt, s.Now))
	for _, p := range c.Pending {
		fmt.Fprintf(t, "\tneeds a restart: %s, now %s, then %s\n",
			p.Key, orDash(Clean(p.Running)), orDash(Clean(p.New)))
	}
	for _, r := range c.Refused {
		fmt.Fprintf(t, "\trefused: %s, now %s, in the file %s\n", r.Key, orDash(Clean(r.Running)), orDash(Clean(r.New)))
	}
	if c.LastError != "" && len(c.Refused) == 0 { // a refusal is a warning, and the other keys have changed
		first, _, _ := strings.Cut(c.LastError, "\n")
		fmt.Fprintf(t, "\tthe last reload changed nothing: %s\n", Clean(first))
	}
}

func store(t io.Writer, s *admin.Status) {
	line := "empty"
	if s.Store.Timeline != 0 {
		line = fmt.Sprintf("timeline %s, from %s, received %s, written %s, flushed %s", s.Store.Timeline,
			Position(s.Store.Oldest), Position(s.Store.Received), Position(s.Store.Written), Position(s.Store.Flushed))
	}
	if s.Store.Paused {
		line += ", WAITING FOR THE DISK"
	}
	if s.Store.VolumeBytes > 0 {
		line += fmt.Sprintf(", %s free", Bytes(s.Store.FreeBytes))
	}
	fmt.Fprintf(t, "store\t%s\n", line)
}

// Standbys prints one line per standby.
func Standbys(w io.Writer, all []admin.Standby) {
	if len(all) == 0 {
		fmt.Fprintln(w, "no standbys attached")
		return
	}
	t := table(w)
	fmt.Fprintln(t, "standby\taddress\tstate\tsync\tsent\twrite\tflush\treplay\tbehind\tlag w/f/r\tslot")
	for _, b := range all {
		address := b.ClientAddr
		if address == "" {
			address = "local"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s / %s / %s\t%s\n",
			orDash(Clean(b.ApplicationName)), Clean(address), state(b), orDash(b.SyncState),
			Position(b.Sent), Position(b.Write), Position(b.Flush), Position(b.Replay), Bytes(b.LagBytes),
			Lag(b.WriteLag), Lag(b.FlushLag), Lag(b.ReplayLag), orDash(b.Slot))
	}
	t.Flush()
}

func state(b admin.Standby) string {
	if b.SendWhen != "" {
		return b.State + ", held at " + b.SendWhen
	}
	return b.State
}

func slots(w io.Writer, all []admin.Slot) {
	t := table(w)
	shared := slices.ContainsFunc(all, func(s admin.Slot) bool { return s.Owner != "" })
	head := "slot\ttype\tactive\trestart\theld\tsafe\tstatus"
	if shared {
		head += "\towner\tkept by"
	}
	fmt.Fprintln(t, head)
	for _, s := range all {
		active, kind := "no", s.Type
		if s.Active {
			active = fmt.Sprintf("pid %d", s.ActivePID)
		}
		if s.Temporary {
			kind += ", temporary"
		}
		safe, status := "-", orDash(s.Status)
		if s.Safe != nil {
			safe = Bytes(max(0, *s.Safe))
		}
		if s.Reason != "" {
			status += " (" + s.Reason + ")"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s",
			s.Name, kind, active, Position(s.Restart), Bytes(s.HeldBytes), safe, status)
		if shared {
			fmt.Fprintf(t, "\t%s\t%s", orDash(Clean(s.Owner)), orDash(Clean(strings.Join(s.KeptBy, ", "))))
		}
		fmt.Fprintln(t)
	}
	t.Flush()
}
