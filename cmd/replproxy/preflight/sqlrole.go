package preflight

import (
	"errors"
	"fmt"
	"strings"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// SQLSTATEs that package pgerror has no name for, as nobody else asks for them.
const (
	noDatabase  pgerror.Code = "3D000"
	noFunction  pgerror.Code = "42883"
	noSchema    pgerror.Code = "3F000"
	noTable     pgerror.Code = "42P01"
	timedOutSQL              = pgerror.QueryCanceled
)

// role passes whenever a walsender connection does: the server checks REPLICATION at log-in.
func role(s Setup, f Facts) Check {
	c := Check{Name: "role", Level: OK, Text: "may log in, has REPLICATION, pg_hba.conf lets physical replication in"}
	if f.SQL != nil {
		c.Level = Warn
		c.Text += "; but SQL does not work (" + f.SQL.Error() + ")"
		c.Remedy = sqlRemedy(s, f.SQL) + " Without SQL " + strings.Join(needSQL(s), ", ") +
			", and check and status can say less."
	}
	return c
}

// needSQL returns the configured features that do not work without SQL, each as a clause.
func needSQL(s Setup) []string {
	all := []string{"slots that standbys have on the primary are not taken over or advanced"}
	if s.Mirror != "" && s.Mirror != "false" {
		all = append(all, "slots.mirror makes none")
	}
	if s.RuleGate != "" {
		all = append(all, "slots.rule_gate is not used")
	}
	if s.AuthMethod != relay && s.AuthQuery != "" {
		all = append(all, "auth.query has no answer, so that nobody logs in")
	}
	if s.FeedbackMaxAge > 0 {
		all = append(all, "feedback.max_age is not applied")
	}
	return all
}

// sqlRemedy returns the remedy for an error of the SQL connection, or of a statement on it, by its SQLSTATE.
func sqlRemedy(s Setup, err error) string {
	user, database := sqlIdent(s.User), sqlIdent(s.Database)
	atLogin := loginFailed(err)
	switch c := code(err); {
	case c == pgerror.InvalidAuthorization && strings.Contains(err.Error(), "is not permitted to log in"):
		return fmt.Sprintf("ALTER ROLE %s LOGIN.", user)
	case c == pgerror.InvalidAuthorization && strings.Contains(err.Error(), "does not exist"):
		return fmt.Sprintf("Make the role %s on the primary, with LOGIN and REPLICATION.", user)
	case c == pgerror.InvalidAuthorization:
		return fmt.Sprintf("It needs a line of pg_hba.conf on the primary for database %s (that of conninfo; postgres "+
			"without dbname), then SELECT pg_reload_conf().", database)
	case c == pgerror.InvalidPassword:
		return "Put the password of the role for this database into ~/.pgpass (or PGPASSFILE) of the user that runs " +
			"replproxy: the walsender's line there names the database replication, or *."
	case c == noDatabase:
		return "Name a database that exists in dbname of upstream.conninfo."
	case c == pgerror.InsufficientPrivilege && atLogin:
		return fmt.Sprintf("GRANT CONNECT ON DATABASE %s TO %s.", database, user)
	case c == pgerror.InsufficientPrivilege:
		return fmt.Sprintf("GRANT pg_monitor TO %s, or what the error names.", user)
	case c == pgerror.TooManyConnections:
		return "Raise max_connections on the primary (needs a restart), or the CONNECTION LIMIT of the role or the " +
			"database, or end sessions that are not needed."
	case c == pgerror.CannotConnectNow:
		return "The server is starting or stopping; try again when it accepts connections."
	case c == timedOutSQL:
		return "Look at statement_timeout of the role, and at what the server waits for."
	}
	return "See the log of the primary: the walsender connection works, and this one does not."
}

// loginFailed reports whether an error is of a log-in, and not of a statement.
func loginFailed(err error) bool { return errors.As(err, new(*upstream.ConnectError)) }

// sqlIdent quotes a name for SQL, whatever word it is.
func sqlIdent(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
