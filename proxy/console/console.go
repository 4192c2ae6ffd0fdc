package console

import (
	"strings"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/proxy/admin"
)

// Table is a result set. A nil value is NULL. Without columns the query was empty.
type Table struct {
	Columns []string
	Rows    [][]*string
	Tag     string // of CommandComplete
}

// commands is all that can be asked.
var commands = []struct {
	name, help string
	answer     func(*admin.Status) Table
}{
	{"SHOW STATUS", "everything that is not a list", pairs},
	{"SHOW STANDBYS", "attached standbys, as pg_stat_replication",
		func(s *admin.Status) Table { return list(s.Standbys) }},
	{"SHOW SLOTS", "slots of this proxy, as pg_replication_slots",
		func(s *admin.Status) Table { return list(s.Slots) }},
	{"SHOW SSL", "encrypted connections, as pg_stat_ssl",
		func(s *admin.Status) Table { return list(s.SSL) }},
	{"SHOW UPSTREAM", "the stream from the primary",
		func(s *admin.Status) Table { return list([]admin.Upstream{s.Upstream}) }},
	{"SHOW EVENTS", "what happened since the start, the newest first",
		func(s *admin.Status) Table { return list(s.Events) }},
	{"SHOW VERSION", "version of replproxy", version},
	{"HELP", "this list", nil},
}

// Answer answers one query. The error is a *pgerror.Error.
func Answer(query string, s *admin.Status) (Table, error) {
	text := strings.TrimRight(strings.TrimSpace(query), "; \t\r\n")
	words := strings.Fields(text)
	if len(words) == 0 {
		return Table{}, nil
	}
	name := strings.ToUpper(strings.Join(words, " "))
	if name == "HELP" || name == "SHOW HELP" {
		return help(), nil
	}
	for _, c := range commands {
		if c.name == name {
			t := c.answer(s)
			t.Tag = "SHOW"
			return t, nil
		}
	}
	const hint = "HELP lists what the console of replproxy answers."
	if strings.EqualFold(words[0], "SHOW") && len(words) == 2 {
		return Table{}, pgerror.New(pgerror.UndefinedObject, `unrecognized configuration parameter "%s"`, words[1]).
			WithHint(hint)
	}
	return Table{}, pgerror.New(pgerror.SyntaxError, `syntax error at or near "%s"`, words[0]).WithHint(hint)
}

func help() Table {
	t := Table{Columns: []string{"command", "description"}, Tag: "SHOW"}
	for _, c := range commands {
		t.Rows = append(t.Rows, []*string{&c.name, &c.help})
	}
	return t
}

func version(s *admin.Status) Table {
	text := "replproxy " + s.Version
	if s.Commit != "" {
		text += " (" + s.Commit + ")"
	}
	return Table{Columns: []string{"version"}, Rows: [][]*string{{&text}}}
}
