package handshake

import "strings"

// replicationValue reads one value of the replication parameter. database is the sticky flag: once seen it stays. The
// last boolean decides whether this is a walsender at all (facts A3).
func replicationValue(v string) (walsender, database, ok bool) {
	if v == "database" {
		return true, true, true
	}
	b, ok := parseBool(v)
	return b, false, ok
}

// parseBool reads a boolean as PostgreSQL's settings do: prefixes without case of true, false, yes and no, the words
// on, off and of, and 1 and 0.
func parseBool(v string) (value, ok bool) {
	switch lower := strings.ToLower(v); {
	case lower == "":
		return false, false
	case strings.HasPrefix("true", lower), strings.HasPrefix("yes", lower), lower == "on", lower == "1":
		return true, true
	case strings.HasPrefix("false", lower), strings.HasPrefix("no", lower), lower == "off", lower == "of",
		lower == "0":
		return false, true
	}
	return false, false
}
