package preflight

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// Level grades a check.
type Level string

// The levels, as "replproxy check" prints them.
const (
	OK   Level = "ok"
	Warn Level = "warn"
	Fail Level = "fail"
)

// Check is one line of "replproxy check". Remedy is "" for OK only.
type Check struct {
	Name   string `json:"name"`
	Level  Level  `json:"level"`
	Text   string `json:"text"`
	Remedy string `json:"remedy,omitempty"`
}

// The major versions that replproxy speaks for.
const (
	oldestMajor = 14
	newestMajor = 18
)

// Judge turns facts into checks, in the order in which an operator would repair them.
func Judge(s Setup, f Facts) []Check {
	checks := append([]Check{reachable(s, f)}, hostChecks(f)...)
	checks = append(checks, disk(s, f))
	if f.Replication == nil {
		checks = append(checks, role(s, f))
	}
	if f.asked() {
		checks = append(checks, version(f))
		checks = append(checks, store(s, f)...)
		checks = append(checks, keepSize(s, f)...)
		checks = append(checks, walLevel(f), headroom(s, f), slot(s, f))
		if s.Mirror != "" && s.Mirror != "false" {
			checks = append(checks, mirrors(s, f))
		}
		if s.RuleGate != "" {
			checks = append(checks, ruleGate(s, f))
		}
		if text := openGates(s, f); text != "" {
			checks = append(checks, Check{"slots.mirror and primary", Warn, text, shutGates})
		}
	}
	if f.SQL == nil {
		checks = append(checks, idleSlots(s, f))
	}
	if f.asked() {
		checks = append(checks, encryption(s, f), syncNames(s, f))
		checks = append(checks, remoteApplyCheck(s, f)...)
		checks = append(checks, ruleChecks(s, f)...)
		checks = append(checks, viaChecks(s, f)...)
	}
	checks = append(checks, surroundings(s, f)...)
	checks = append(checks, authChecks(s, f)...)
	if f.TrustTested && f.asked() { // else a standby was asked, or who knows whom
		checks = append(checks, trust(s, f))
	}
	return append(checks, trustedClients(s, f)...)
}

// Passed reports whether no check failed.
func Passed(checks []Check) bool {
	for _, c := range checks {
		if c.Level == Fail {
			return false
		}
	}
	return true
}

// Count returns how many checks have each level.
func Count(checks []Check) map[Level]int {
	n := map[Level]int{OK: 0, Warn: 0, Fail: 0}
	for _, c := range checks {
		n[c.Level]++
	}
	return n
}

// Summary returns one line that counts the checks of each level that there are.
func Summary(checks []Check) string {
	n := Count(checks)
	text := fmt.Sprintf("%d checks: %d ok", len(checks), n[OK])
	for _, level := range []Level{Warn, Fail} {
		if n[level] > 0 {
			text += fmt.Sprintf(", %d %s", n[level], level)
		}
	}
	return text
}

// startOrPromote is the remedy where no host is a primary, see [Heed].
const startOrPromote = "Start the primary, or promote a standby."

func reachable(s Setup, f Facts) Check {
	c := Check{Name: "upstream"}
	if f.Replication == nil {
		c.Level, c.Text = OK, fmt.Sprintf("%s answers a walsender connection of %q", f.Endpoint, s.User)
		return c
	}
	c.Level, c.Text = Fail, f.Replication.Error()
	if errors.Is(f.Replication, upstream.ErrStandby) && upstream.Down(f.Replication) {
		c.Text = "no host is a primary: docs/failover.md (" + c.Text + ")"
		c.Remedy = startOrPromote
		return c
	}
	c.Remedy = "Check host and port of upstream.conninfo, and listen_addresses and firewalls of the primary."
	switch code(f.Replication) {
	case pgerror.InvalidAuthorization:
		c.Remedy = fmt.Sprintf("Physical replication needs a line of its own in the primary's pg_hba.conf, as in "+
			"\"host replication %s <address of this host>/32 scram-sha-256\", then SELECT pg_reload_conf(); "+
			"the role must exist and have LOGIN.", s.User)
	case pgerror.InvalidPassword:
		c.Remedy = "Put the password of the role into ~/.pgpass (or PGPASSFILE) of the user that runs replproxy."
	case pgerror.InsufficientPrivilege:
		c.Remedy = fmt.Sprintf("ALTER ROLE %s REPLICATION;", s.User)
	case pgerror.TooManyConnections:
		c.Remedy = "Raise max_wal_senders on the primary (needs a restart), or end walsenders that are not needed: " +
			"standbys that move behind the proxy give theirs back."
	case pgerror.CannotConnectNow:
		c.Remedy = "The server is starting or stopping; try again when it accepts connections."
	}
	return c
}

func version(f Facts) Check {
	c := Check{Name: "version", Level: OK, Text: "PostgreSQL " + f.Version}
	switch {
	case f.Major == 0:
		c.Level, c.Text, c.Remedy = Warn, "the server did not say its version", "Is it PostgreSQL?"
	case f.Major < oldestMajor:
		c.Level = Fail
		c.Remedy = fmt.Sprintf("replproxy supports %d to %d.", oldestMajor, newestMajor)
	case f.Major > newestMajor:
		c.Level = Warn
		c.Remedy = fmt.Sprintf("replproxy was tested with %d to %d; try it on a copy first.", oldestMajor, newestMajor)
	}
	if f.Standby {
		c.Text += ", itself a standby: this proxy cascades"
	}
	return c
}

func walLevel(f Facts) Check {
	switch level := f.Settings["wal_level"]; level {
	case "replica", "logical":
		return Check{Name: "wal_level", Level: OK, Text: level}
	case "":
		return Check{"wal_level", Warn, "unknown: SHOW wal_level gave no answer",
			"Make sure that it is replica or logical."}
	default:
		return Check{"wal_level", Fail, level, "Set wal_level = replica on the primary and restart it."}
	}
}

// headroom counts the walsenders that the proxy needs: one that streams, and the log-ins of standbys.
func headroom(s Setup, f Facts) Check {
	c := Check{Name: "max_wal_senders"}
	most, err := strconv.Atoi(f.Settings["max_wal_senders"])
	if err != nil {
		c.Level, c.Text, c.Remedy = Warn, "unknown", "Make sure that max_wal_senders leaves room for this proxy."
		return c
	}
	need := 1 + s.MaxUpstreamWalsenders
	if f.SQL != nil {
		c.Level = Warn
		c.Text = fmt.Sprintf("%d; how many are in use is unknown without SQL", most)
		c.Remedy = fmt.Sprintf("Make sure that %d are free for this proxy.", need)
		return c
	}
	own := 0 // when the proxy runs already
	for _, w := range f.Walsenders {
		if w.ApplicationName == s.Name {
			own++
		}
	}
	used := len(f.Walsenders) - own
	free := most - used // for this proxy: what it has, and what nobody has
	if own > 0 {
		c.Text = fmt.Sprintf("%d of %d free beside the one that this proxy has, it needs up to %d more for log-ins",
			max(0, free-own), most, s.MaxUpstreamWalsenders)
	} else {
		c.Text = fmt.Sprintf("%d of %d free, this proxy needs 1 and up to %d more for log-ins",
			max(0, free), most, s.MaxUpstreamWalsenders)
	}
	switch {
	case free < 1:
		c.Level = Fail
		c.Remedy = "Raise max_wal_senders (needs a restart), or move a standby behind the proxy first."
	case free < need:
		c.Level = Warn
		c.Remedy = fmt.Sprintf("Raise max_wal_senders to %d or more, or expect log-ins of standbys to wait.", used+need)
	default:
		c.Level = OK
	}
	return c
}
