package sql_test

import (
	"context"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/proxy/console/sql"
)

// nest puts an expression into a form, whose $ it replaces, again and again.
func nest(form, inner string, times int) string {
	before, behind, _ := strings.Cut(form, "$")
	return strings.Repeat(before, times) + inner + strings.Repeat(behind, times)
}

// TestBounds: whoever may open the console cannot make an answer cost more than its bounds allow. What would take 2^n
// steps takes n, and answers as before.
func TestBounds(t *testing.T) {
	many := func(s string, n int) string { return strings.TrimSuffix(strings.Repeat(s+",", n), ",") }
	for name, c := range map[string]struct {
		query, want string // an answer of one value, or a SQLSTATE
	}{
		"between":          {"SELECT " + nest("($ between false and true)", "true", 60), "t"},
		"not between":      {"SELECT " + nest("($ not between false and true)", "pg_is_in_recovery()", 60), "f"},
		"in":               {"SELECT " + nest("($ in (null, null))", "pg_is_in_recovery()", 60), "∅"},
		"not in":           {"SELECT " + nest("($ not in (pg_is_in_recovery(), true, true))", "pg_is_in_recovery()", 61), "f"},
		"case":             {"SELECT " + nest("(case $ when true then true when false then false end)", "pg_is_in_recovery()", 60), "f"},
		"nullif":           {"SELECT " + nest("nullif($, true)", "pg_is_in_recovery()", 60), "f"},
		"nullif of a name": {"SELECT " + nest("nullif($, 'x')", "usename || ''", 60) + " FROM pg_stat_replication ORDER BY pid LIMIT 1", "repl"},
		"signs":            {"SELECT 1 " + strings.Repeat("+", 60_000), "54001"},
		"chain":            {"SELECT 1" + strings.Repeat("+1", 990), "991"},
		"long chain":       {"SELECT 1" + strings.Repeat("+1", 2000), "54001"},
		"parentheses":      {"SELECT " + strings.Repeat("(", 2000) + "1", "54001"},
		"casts":            {"SELECT 1" + strings.Repeat("::int", 2000), "54001"},
		"nodes":            {"SELECT 1 IN (" + many("1", 9900) + ")", "t"},
		"many nodes":       {"SELECT 1 IN (" + many("1", 10_100) + ")", "54001"},
		"targets":          {"SELECT " + many("1", 1665), "54011"},
		"stars":            {"SELECT " + many("*", 1000) + " FROM pg_stat_replication", "54011"},
		"keys":             {"SELECT 1 ORDER BY " + many("1", 1665), "54011"},
		"like":             {"SELECT '" + strings.Repeat("a", 20_000) + "' LIKE '%" + strings.Repeat("a", 10_000) + "b'", "54001"},
		"short like":       {"SELECT '" + strings.Repeat("a", 2000) + "' LIKE '%" + strings.Repeat("a", 1000) + "b'", "f"},
		"coalesce(*)":      {"SELECT coalesce(*)", "42601"},
		"greatest(*)":      {"SELECT greatest(*)", "42601"},
		"far time":         {"SELECT now() + '584542 years'::interval", "22008"},
	} {
		t.Run(name, func(t *testing.T) {
			_, rows, err := answer(still(), statement{query: c.query}, 0)
			got := ""
			switch {
			case err != nil:
				got = string(pgerror.From(err).Code)
			case rows[0][0] == nil:
				got = "∅"
			default:
				got = string(rows[0][0])
			}
			if got != c.want {
				t.Errorf("%s, %v; want %s", got, err, c.want)
			}
		})
	}
}

// TestEnded: an evaluation ends with the session.
func TestEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := still()
	w.Steps = sql.NewSteps(ctx.Err)
	query := "SELECT '" + strings.Repeat("a", 3000) + "' LIKE '%" + strings.Repeat("a", 1000) + "b'"
	if _, _, err := answer(w, statement{query: query}, 0); !pgerror.HasCode(err, pgerror.QueryCanceled) {
		t.Error(err)
	}
}
