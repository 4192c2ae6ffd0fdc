package preflight

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/access"
	"github.com/replproxy/replproxy/handshake/roles"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// scram is the log-in method that verifies here.
const scram = "scram"

// maxDerived bounds how many rules are proposed: whoever has more wants to look at the file.
const maxDerived = 50

// askAuth finds out whether auth.query works, and what the primary's own rules are.
func askAuth(ctx context.Context, c *upstream.Config, s Setup, f *Facts) {
	if s.AuthMethod != scram {
		return
	}
	if s.AuthQuery != "" {
		f.AuthAsked, f.AuthErr = true, roles.Try(ctx, c, s.AuthQuery)
	}
	if s.AccessPhysical {
		return
	}
	conn, err := c.Connect(ctx, map[string]string{"application_name": applicationName})
	if err != nil {
		return
	}
	defer conn.Close()
	res, err := conn.Query(ctx, "SELECT type, array_to_string(database, E'\\n'), array_to_string(user_name, E'\\n'), "+
		"address, netmask, auth_method FROM pg_catalog.pg_hba_file_rules WHERE error IS NULL ORDER BY line_number")
	if err != nil {
		return // superusers only, by default
	}
	f.Derived, f.NotDerived = derive(rows(res))
}

// derive turns rows of pg_hba_file_rules into rules for the proxy, each proof into the one that it knows. left
// is how many lines say something that rules cannot.
func derive(rows [][]string) (lines []string, left int) {
	for _, r := range rows {
		if len(r) != 6 {
			continue
		}
		words := []string{r[0], names(r[1]), names(r[2])}
		if r[0] != "local" {
			words = append(words, address(r[3], r[4]))
		}
		method := "scram-sha-256"
		if r[5] == "reject" {
			method = r[5]
		}
		line := strings.Join(append(words, method), " ")
		_, bad := access.Parse([]string{line})
		switch {
		case bad != nil || len(lines) == maxDerived:
			left++
		case len(lines) == 0 || lines[len(lines)-1] != line:
			lines = append(lines, line)
		}
	}
	return lines, left
}

// names returns a column as a rule has it.
func names(column string) string {
	all := strings.Split(column, "\n")
	for i, n := range all {
		if strings.ContainsAny(n, " \t,\"#") || n == "" {
			all[i] = grammar.QuoteIdent(n)
		}
	}
	return strings.Join(all, ",")
}

// address joins address and mask.
func address(addr, mask string) string {
	ip, err := netip.ParseAddr(mask)
	if err != nil {
		return addr
	}
	if ones, bits := net.IPMask(ip.AsSlice()).Size(); bits > 0 {
		return fmt.Sprintf("%s/%d", addr, ones)
	}
	return addr + " " + mask
}

// authChecks returns checks of who verifies clients; none with relay, for which trust speaks.
func authChecks(s Setup, f Facts) (checks []Check) {
	if s.AuthMethod != scram {
		return nil
	}
	c := Check{Name: "auth.query", Level: OK, Text: "answers for the proxy's own role"}
	switch {
	case s.AuthQuery == "":
		c = Check{Name: "auth.users_file", Level: OK, Text: "verifiers are in a file: the primary is not asked"}
	case !f.AuthAsked:
		c.Level, c.Text = Warn, "was not asked"
		c.Remedy = "See what is wrong with the connection to the primary first."
	case f.AuthErr != nil:
		c.Level, c.Text = Fail, f.AuthErr.Error()
		c.Remedy = authRemedy(s, f.AuthErr)
	}
	if s.AuthQuery != "" && !f.asked() {
		return append(checks, accessCheck(s, f)) // the upstream's own line says why nobody was asked
	}
	return append(checks, c, accessCheck(s, f))
}

// authRemedy returns the remedy for an error of auth.query, by its SQLSTATE.
func authRemedy(s Setup, err error) string {
	switch c := code(err); {
	case errors.As(err, new(*upstream.ConnectError)):
		return sqlRemedy(s, err)
	case c == noFunction, c == noSchema, c == noTable:
		return "Make the function of docs/auth.md in database " + sqlIdent(s.Database) + ", that of upstream.conninfo."
	case c == pgerror.InsufficientPrivilege:
		return fmt.Sprintf("Let %s ask: GRANT USAGE on the schema and EXECUTE on the function of auth.query, as in "+
			"docs/auth.md.", sqlIdent(s.User))
	}
	return "Correct auth.query, or the function that it asks: docs/auth.md has both."
}

// accessCheck says that the primary's pg_hba.conf is not asked about physical walsenders (R15).
func accessCheck(s Setup, f Facts) Check {
	c := Check{Name: "access", Level: OK, Text: fmt.Sprintf("%d rules", s.AccessRules)}
	if s.AccessPhysical {
		return c
	}
	c.Level = Warn
	c.Text = "no rules for database replication: with auth.method: scram no standby, pg_basebackup or " +
		"pg_receivewal is admitted"
	c.Remedy = "Add rules, as in \"hostssl replication <role> <addresses> scram-sha-256\": see docs/access.md. " +
		"A superuser sees the primary's own in pg_hba_file_rules."
	if len(f.Derived) > 0 {
		c.Remedy = "The primary's pg_hba.conf as rules; leave out what shall not come through the proxy:\n" +
			"    access:\n      - " + strings.Join(f.Derived, "\n      - ")
		if f.NotDerived > 0 {
			c.Remedy += fmt.Sprintf("\n%d more of its lines have no counterpart here.", f.NotDerived)
		}
	}
	return c
}
