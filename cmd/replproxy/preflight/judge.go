package preflight

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/replproxy/replproxy/cmd/replproxy/show"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
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
		checks = append(checks, version(f))
		checks = append(checks, store(s, f)...)
		checks = append(checks, keepSize(s, f)...)
		checks = append(checks, role(f), walLevel(f), headroom(s, f), slot(s, f))
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
	if f.Replication == nil || f.SQL == nil {
		checks = append(checks, encryption(s, f), syncNames(s, f))
		checks = append(checks, ruleChecks(s, f)...)
		checks = append(checks, viaChecks(s, f)...)
	}
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

func reachable(s Setup, f Facts) Check {
	c := Check{Name: "upstream"}
	if f.Replication == nil {
		c.Level, c.Text = OK, fmt.Sprintf("%s answers a walsender connection of %q", f.Endpoint, s.User)
		return c
	}
	c.Level, c.Text = Fail, f.Replication.Error()
	if errors.Is(f.Replication, upstream.ErrStandby) && upstream.Down(f.Replication) {
		c.Text = "no host is a primary: docs/failover.md (" + c.Text + ")"
		c.Remedy = "Start the primary, or promote a standby."
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

const storeName = "data_dir and upstream"

// store compares the WAL in data_dir with the upstream, as run does before it streams: none if there is no WAL yet.
func store(s Setup, f Facts) []Check {
	have, what := f.Disk.Store, ""
	seg, err := lsn.ParseSegSize(f.Settings["wal_segment_size"])
	switch {
	case have == walstore.Identity{}:
		return nil
	case f.System != have.System.String():
		what = fmt.Sprintf("database system %s, but the upstream is %s", have.System, f.System)
	case err == nil && seg != have.SegSize:
		what = fmt.Sprintf("segments of %s, but the upstream's have %s", have.SegSize, seg)
	case f.Major != 0 && f.Major != have.ServerMajor:
		what = fmt.Sprintf("PostgreSQL %d, but the upstream is %d", have.ServerMajor, f.Major)
	default:
		return []Check{{Name: storeName, Level: OK, Text: "the WAL in data_dir is of this database system"}}
	}
	return []Check{{storeName, Fail, "the WAL in " + s.DataDir + " is of " + what + ": run streams nothing",
		"Correct upstream.conninfo or data_dir. Where the primary was made anew or upgraded: move data_dir away, " +
			"and make the standbys anew."}}
}

// keepSize compares what is kept with what it is kept in; none where it is at least one segment.
func keepSize(s Setup, f Facts) []Check {
	seg, err := lsn.ParseSegSize(f.Settings["wal_segment_size"])
	if err != nil || s.KeepSize >= int64(seg) {
		return nil
	}
	return []Check{{"wal.keep_size", Warn, fmt.Sprintf("%s is less than one segment of the primary (%s)",
		show.Bytes(s.KeepSize), seg), "Say at least one segment, better some: standbys that return need them."}}
}

// role passes whenever a walsender connection does: the server checks REPLICATION at log-in.
func role(f Facts) Check {
	c := Check{Name: "role", Level: OK, Text: "may log in, has REPLICATION, pg_hba.conf lets physical replication in"}
	if f.SQL != nil {
		c.Level = Warn
		c.Text += "; but not in by SQL (" + f.SQL.Error() + ")"
		c.Remedy = "Not needed to run. With a line of pg_hba.conf for the database of conninfo (postgres without " +
			"dbname) slots there are taken over and advanced, and check and status can say more."
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
	used := 0
	for _, w := range f.Walsenders {
		if w.ApplicationName != s.Name { // our own, when the proxy runs already
			used++
		}
	}
	free := most - used
	c.Text = fmt.Sprintf("%d of %d free, this proxy needs 1 and up to %d more for log-ins",
		max(0, free), most, s.MaxUpstreamWalsenders)
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

func slot(s Setup, f Facts) Check {
	c := Check{Name: "slot"}
	if s.Slot == "" {
		c.Level, c.Text = Warn, "none (upstream.slot is empty)"
		c.Remedy = "After a break the primary may have removed WAL that the proxy needs: " +
			"raise wal_keep_size, or name a slot."
		return c
	}
	if f.SQL != nil {
		return slotWithoutSQL(s, f)
	}
	for _, have := range f.Slots {
		if have.Name == s.Slot {
			return existingSlot(s, have)
		}
	}
	most, err := strconv.Atoi(f.Settings["max_replication_slots"])
	free := most - len(f.Slots)
	c.Text = fmt.Sprintf("%q does not exist yet and will be created; %d of %d free", s.Slot, max(0, free), most)
	switch {
	case err != nil:
		c.Level, c.Text = Warn, fmt.Sprintf("%q does not exist yet; how many are free is unknown", s.Slot)
		c.Remedy = "Make sure that max_replication_slots leaves room for one."
	case free < 1:
		c.Level, c.Remedy = Fail, "Raise max_replication_slots (needs a restart), or drop a slot that is not used."
	default:
		c.Level = OK
	}
	return c
}

func slotWithoutSQL(s Setup, f Facts) Check {
	if f.SlotAsked && f.SlotFound && s.NewStore {
		return slotOfAnotherStore(s)
	}
	if f.SlotAsked && f.SlotFound {
		return Check{Name: "slot", Level: OK, Text: fmt.Sprintf("%q exists", s.Slot)}
	}
	text := fmt.Sprintf("%q: whether it exists is unknown without SQL", s.Slot)
	if f.SlotAsked {
		text = fmt.Sprintf("%q does not exist yet; how many are free is unknown without SQL", s.Slot)
	}
	return Check{"slot", Warn, text,
		"Make sure that max_replication_slots leaves room for it; it is created when missing."}
}

// slotOfAnotherStore: run does not use the slot of a store that is not in data_dir.
func slotOfAnotherStore(s Setup) Check {
	return Check{"slot", Fail, fmt.Sprintf("%q exists, but data_dir has no store yet", s.Slot),
		"Is the volume of data_dir mounted, and the name no other proxy's? If a new store is meant: " +
			"replproxy run --new-store, once."}
}

func existingSlot(s Setup, have Slot) Check {
	c := Check{Name: "slot", Level: OK, Text: fmt.Sprintf("%q exists", have.Name)}
	switch {
	case have.Type != "physical":
		c.Level, c.Text = Fail, fmt.Sprintf("%q is a %s slot", have.Name, have.Type)
		c.Remedy = "Name another one in upstream.slot."
	case s.NewStore:
		return slotOfAnotherStore(s)
	case have.Active:
		c.Level, c.Text = Warn, fmt.Sprintf("%q is in use", have.Name)
		c.Remedy = "Fine when this proxy runs already; if not, another one has the same name: " +
			"set name or upstream.slot."
	case have.WALStatus == "lost" || have.WALStatus == "unreserved":
		c.Level = Warn
		c.Text = fmt.Sprintf("%q is %s: the primary may have removed WAL that it held", have.Name, have.WALStatus)
		c.Remedy = "Raise max_slot_wal_keep_size on the primary; the proxy tells when WAL is missing."
	}
	return c
}

// disk judges data_dir by what a full store needs.
func disk(s Setup, f Facts) Check {
	c := Check{Name: "data_dir"}
	if f.Disk.Err != nil {
		c.Level, c.Text = Fail, f.Disk.Err.Error()
		c.Remedy = "Name an empty directory in data_dir (--data-dir), or one that a replproxy made, " +
			"which the user that runs replproxy may write to."
		return c
	}
	need := s.KeepSize + s.MinFree
	c.Text = fmt.Sprintf("%s, %s free of %s", s.DataDir, show.Bytes(f.Disk.Free), show.Bytes(f.Disk.Total))
	if !f.Disk.Exists {
		c.Text += ", will be made"
	}
	if c.Level = OK; f.Disk.Free < need && !f.Disk.Exists {
		c.Level = Warn
		c.Remedy = fmt.Sprintf("keep_size and min_free together are %s: "+
			"use a larger volume or a smaller keep_size.", show.Bytes(need))
	}
	if f.Disk.Exists && f.Disk.Free < s.MinFree {
		c.Level = Warn
		c.Remedy = fmt.Sprintf("Less than min_free (%s) is free: "+
			"use a larger volume or a smaller keep_size.", show.Bytes(s.MinFree))
	}
	return c
}
