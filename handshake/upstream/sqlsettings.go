package upstream

import (
	"context"
	"maps"
)

// DefaultDatabase is the database for SQL sessions of our own when conninfo, service file and environment name no
// dbname. libpq's default, a database of the role's name, rarely exists; this one does nearly everywhere. It is
// decided here alone.
const DefaultDatabase = "postgres"

// Bounds on an SQL session of our own, in PostgreSQL's units, set at the server. It ends there even when this process
// stands still, so that none keeps a server from stopping (ruling R38).
const (
	// statementTimeout bounds one statement: each reads a few rows of views or moves one slot. Advancing a slot on
	// a server that replays takes the longest.
	statementTimeout = "8s"
	// idleTimeout bounds the time between two statements, in a transaction or not: as much as a round may take, since
	// another connection may do part of it.
	idleTimeout = "10s"
	// transactionTimeoutSince is the first major version with transaction_timeout.
	transactionTimeoutSince = 17
)

// sqlSettings begin each SQL session of our own, so that our statements mean the same whatever the role, the database,
// conninfo's options or the server's files say. Every role may set these, on 14 to 18. What target_session_attrs judges
// by, default_transaction_read_only, is left as it is: we write to no table.
var sqlSettings = map[string]string{
	"statement_timeout":                   statementTimeout,
	"lock_timeout":                        "0",
	"idle_in_transaction_session_timeout": idleTimeout,
	"idle_session_timeout":                idleTimeout,
	"search_path":                         "pg_catalog, pg_temp",
	"client_min_messages":                 "warning",
	"client_encoding":                     "UTF8",
	"standard_conforming_strings":         "on",
	"row_security":                        "on",
	"default_transaction_isolation":       "read committed",
	"default_transaction_deferrable":      "off",
	"DateStyle":                           "ISO",
	"IntervalStyle":                       "postgres",
	"TimeZone":                            "UTC",
	"role":                                "none",
}

// asSQL adds sqlSettings to the parameters of a session that is not for replication. What the caller says wins.
func asSQL(params map[string]string) map[string]string {
	if params["replication"] != "" {
		return params
	}
	all := maps.Clone(sqlSettings)
	maps.Copy(all, params)
	return all
}

// setTimeouts takes from an SQL session the one time-out that cannot be said at its start, as 14 to 16 do not know it.
func (s *Session) setTimeouts(ctx context.Context) error {
	if versionOf(s.Parameters["server_version"]) < transactionTimeoutSince {
		return nil
	}
	_, err := s.Query(ctx, "SET transaction_timeout = 0")
	return err
}

// versionOf returns the major version in a server_version such as "17.2 (Debian 17.2-1)" or "18beta1"; 0 for none.
func versionOf(text string) (major int) {
	for _, c := range text {
		if c < '0' || c > '9' || major > 1000 {
			break
		}
		major = major*10 + int(c-'0')
	}
	return major
}
