package console

import (
	"strings"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/proxy/console/datum"
	"github.com/replproxy/replproxy/proxy/console/sql"
)

// command is a statement other than SELECT.
type command struct {
	ends    bool                        // a transaction: it is taken in one that has failed
	columns func(*Session) []sql.Column // nil: it returns no rows
	run     func(*Session) (rows [][]datum.Value, tag string, err error)
}

// words reads the words of a command.
type words struct{ left []sql.Token }

func (w *words) peek() sql.Token { return w.left[0] }

func (w *words) next() sql.Token {
	t := w.left[0]
	if len(w.left) > 1 {
		w.left = w.left[1:]
	}
	return t
}

func (w *words) take(texts ...string) bool {
	if w.peek().Is(texts...) {
		w.next()
		return true
	}
	return false
}

// end returns PostgreSQL's error of a word behind the end of a command, nil for none.
func (w *words) end() error {
	if t := w.peek(); t.Kind != sql.End && !t.Is(";") {
		return sql.Wrong(t)
	}
	return nil
}

// known are the first words of commands that PostgreSQL has and the console has not.
const known = " alter analyze call checkpoint close cluster comment copy create declare delete do drop execute " +
	"explain fetch grant import insert listen load lock merge move notify prepare reassign refresh reindex " +
	"revoke security table truncate unlisten update vacuum values with "

// readCommand reads a statement other than SELECT. The error is a *pgerror.Error.
func readCommand(all []sql.Token) (c *command, err error) {
	w := &words{left: all}
	first := w.next()
	switch {
	case first.Is("help"):
		c = shown(func(*Session) (table, error) { return help(), nil })
	case first.Is("show"):
		c, err = w.show()
	case first.Is("set"):
		c, err = w.set()
	case first.Is("reset"):
		c, err = w.reset()
	case first.Is("begin", "start"):
		c, err = w.begin(first)
	case first.Is("commit", "end"):
		w.take("work", "transaction")
		c = &command{ends: true, run: (*Session).commit}
	case first.Is("rollback", "abort"):
		w.take("work", "transaction")
		if first.Is("rollback") && w.take("to") {
			w.take("savepoint")
			if c, err = w.savepoint((*Session).rollbackTo); err == nil {
				c.ends = true
			}
			break
		}
		c = &command{ends: true, run: (*Session).rollback}
	case first.Is("savepoint"):
		c, err = w.savepoint((*Session).defineSavepoint)
	case first.Is("release"):
		w.take("savepoint")
		c, err = w.savepoint((*Session).releaseSavepoint)
	case first.Is("discard"):
		c, err = w.discard()
	case first.Is("deallocate"):
		c, err = w.deallocate()
	case first.Kind == sql.Word && strings.Contains(known, " "+first.Text+" "):
		return nil, sql.Unsupported(first)
	default:
		e := *pgerror.From(sql.Wrong(first))
		e.Hint = "HELP lists what the console of replproxy answers."
		return nil, &e
	}
	if err == nil {
		if t := w.peek(); t.Is("and") { // a chain
			return nil, sql.Unsupported(t)
		}
		err = w.end()
	}
	return c, err
}

// shown makes a command that returns a table.
func shown(find func(*Session) (table, error)) *command {
	return &command{
		columns: func(s *Session) []sql.Column { t, _ := find(s); return t.columns },
		run: func(s *Session) ([][]datum.Value, string, error) {
			t, err := find(s)
			return t.rows, "SHOW", err
		},
	}
}

func (w *words) show() (*command, error) {
	t := w.next()
	name := t.Text
	switch {
	case t.Kind != sql.Word && t.Kind != sql.Quoted:
		return nil, sql.Wrong(t)
	case t.Is("help"):
		return shown(func(*Session) (table, error) { return help(), nil }), nil
	case t.Is("all"):
		return nil, sql.Unsupported(t)
	case t.Is("time") && w.take("zone"):
		name = "TimeZone"
	case t.Is("transaction") && w.take("isolation"):
		if !w.take("level") {
			return nil, sql.Wrong(w.peek())
		}
		name = "transaction_isolation"
	}
	for w.take(".") {
		name += "." + w.next().Text
	}
	return shown(func(s *Session) (table, error) {
		if views()[name] == nil {
			if own, ok := s.table(name); ok {
				return own, nil
			}
		}
		value, ok := s.setting(name)
		if !ok {
			return table{}, pgerror.New(pgerror.UndefinedObject, "unrecognized configuration parameter \"%s\"", t.Text).
				WithHint("HELP lists what the console of replproxy answers.")
		}
		return table{
			columns: []sql.Column{{Name: spelled(name), Type: datum.Text}}, rows: [][]datum.Value{{value}},
		}, nil
	}), nil
}

// spelled returns a setting's name as PostgreSQL spells it.
func spelled(name string) string {
	for _, r := range reported() {
		if strings.EqualFold(r, name) {
			return r
		}
	}
	return strings.ToLower(name)
}

func (w *words) set() (*command, error) {
	local := w.take("local")
	if !local {
		w.take("session")
	}
	t := w.next()
	name := t.Text
	switch {
	case t.Is("transaction"), t.Is("characteristics") && w.take("as") && w.take("transaction"):
		return w.modes("SET")
	case t.Is("time") && w.take("zone"):
		name = "TimeZone"
	case t.Is("names"):
		name = "client_encoding"
	case t.Kind != sql.Word && t.Kind != sql.Quoted:
		return nil, sql.Wrong(t)
	default:
		for w.take(".") {
			name += "." + w.next().Text
		}
		if !w.take("to", "=") {
			return nil, sql.Wrong(w.peek())
		}
	}
	var values []string
	for {
		sign := ""
		if w.take("-") {
			sign = "-"
		}
		v := w.next()
		if v.Kind == sql.End || v.Kind == sql.Symbol || v.Kind == sql.Parameter {
			return nil, sql.Wrong(v)
		}
		if v.Is("default") || name == "TimeZone" && v.Is("local") {
			return setTo(name, nil, local), nil
		}
		values = append(values, sign+v.Text)
		if !w.take(",") {
			break
		}
	}
	value := strings.Join(values, ", ")
	return setTo(name, &value, local), nil
}

// setTo makes a command that sets a setting; value nil: to what it was at the beginning.
func setTo(name string, value *string, local bool) *command {
	return &command{run: func(s *Session) ([][]datum.Value, string, error) {
		v, tag := s.settings.start[strings.ToLower(name)], "SET"
		if value != nil {
			v = *value
		}
		return nil, tag, s.set(name, v, local)
	}}
}

func (w *words) reset() (*command, error) {
	t := w.next()
	name := t.Text
	switch {
	case t.Kind != sql.Word && t.Kind != sql.Quoted:
		return nil, sql.Wrong(t)
	case t.Is("time") && w.take("zone"):
		name = "TimeZone"
	}
	return &command{run: func(s *Session) ([][]datum.Value, string, error) {
		if name == "all" {
			s.restore(s.settings.start)
			return nil, "RESET", nil
		}
		return nil, "RESET", s.set(name, s.settings.start[strings.ToLower(name)], false)
	}}, nil
}
