package preflight

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/proxy/config"
)

// Fix is one statement that mends what a check has found. None drops anything, and none decides about durability.
type Fix struct {
	SQL     string `json:"sql"`
	Check   string `json:"check"` // that wants it
	Where   string `json:"where"` // the server that it is for: "primary", or a standby's name
	Restart bool   `json:"restart,omitempty"`
}

// atPrimary is the server that most statements are for.
const atPrimary = "primary"

// reload makes changed settings hold that need no restart.
const reload = "SELECT pg_reload_conf()"

// Fixes returns the statements that mend what is known to be wrong, in the order in which they are to be run. Whoever
// runs them may change settings and roles.
func Fixes(s Setup, f Facts, standbys []Standby) (all []Fix) {
	add := func(check, sql string) { all = append(all, Fix{SQL: sql, Check: check, Where: atPrimary}) }
	user := sqlIdent(s.User)
	if code(f.Replication) == pgerror.InsufficientPrivilege {
		add("upstream", "ALTER ROLE "+user+" REPLICATION")
	}
	switch c := code(f.SQL); {
	case f.SQL == nil:
	case c == pgerror.InvalidAuthorization && strings.Contains(f.SQL.Error(), "is not permitted to log in"):
		add("role", "ALTER ROLE "+user+" LOGIN")
	case c == pgerror.InsufficientPrivilege && loginFailed(f.SQL):
		add("role", "GRANT CONNECT ON DATABASE "+sqlIdent(s.Database)+" TO "+user)
	case c == pgerror.InsufficientPrivilege:
		add("role", "GRANT pg_monitor TO "+user)
	}
	settings := settingFixes(s, f)
	all = append(all, settings...)
	if len(settings) > 0 {
		add(settings[len(settings)-1].Check, reload)
	}
	for _, b := range standbys {
		if t, known := b.Settings["recovery_target_timeline"]; known && t != "latest" {
			all = append(all,
				Fix{"ALTER SYSTEM SET recovery_target_timeline = 'latest'", "standby", b.Endpoint, true},
				Fix{reload, "standby", b.Endpoint, false})
		}
	}
	return all
}

// settingFixes returns the statements about settings of the primary; those that need a restart come last.
func settingFixes(s Setup, f Facts) (all []Fix) {
	set := func(name, value string, restart bool) {
		all = append(all, Fix{"ALTER SYSTEM SET " + name + " = " + value, name, atPrimary, restart})
	}
	if text, known := f.Settings["wal_sender_timeout"]; known {
		if d, err := config.ParseDuration(text, time.Millisecond); err == nil && d < shortTimeout {
			set("wal_sender_timeout", "'60s'", false)
		}
	}
	if level, known := f.Settings["wal_level"]; known && level != "replica" && level != "logical" {
		set("wal_level", "'replica'", true)
	}
	if f.SQL != nil {
		return all // what is in use is not known
	}
	if most, err := strconv.Atoi(f.Settings["max_wal_senders"]); err == nil {
		own := func(w Walsender) bool { return w.ApplicationName == s.Name }
		others := len(slices.DeleteFunc(slices.Clone(f.Walsenders), own))
		if need := others + 1 + s.MaxUpstreamWalsenders; most < need {
			set("max_wal_senders", strconv.Itoa(need), true)
		}
	}
	wanted := s.Slot != "" && !slices.ContainsFunc(f.Slots, func(l Slot) bool { return l.Name == s.Slot })
	if most, err := strconv.Atoi(f.Settings["max_replication_slots"]); err == nil && wanted && most <= len(f.Slots) {
		set("max_replication_slots", strconv.Itoa(len(f.Slots)+1), true)
	}
	return all
}

// Apply runs the statements that are for the primary, one after the other, over a connection of conninfo. It tells done
// of each one that has been run, and ends with the first error.
func Apply(ctx context.Context, conninfo string, fixes []Fix, done func(Fix)) error {
	c, err := upstream.Parse(conninfo)
	if err != nil {
		return err
	}
	conn, err := c.Connect(ctx, map[string]string{"application_name": applicationName})
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, x := range fixes {
		if x.Where != atPrimary {
			continue
		}
		if _, err := conn.Query(ctx, x.SQL); err != nil {
			return fmt.Errorf("%s: %w", x.SQL, err)
		}
		done(x)
	}
	return nil
}
