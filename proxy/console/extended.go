package console

import (
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/proxy/console/datum"
	"github.com/replproxy/replproxy/proxy/console/sql"
)

// prepared is a statement that can be run: a SELECT, one of the console's commands, or nothing at all.
type prepared struct {
	statement *sql.Statement // nil: the query was empty
	query     *sql.Query     // of a SELECT
	command   *command       // of another one
	columns   []sql.Column   // nil: it returns no rows
	source    int            // bytes of its text and name
}

// portal is a prepared statement with its parameters, and what is left of its rows.
type portal struct {
	of      *prepared
	args    []datum.Value
	formats []int16
	ran     bool
	rows    [][]datum.Value
	tag     string // "": SELECT and the number of rows
}

// read tells a SELECT from a command, and reads the latter.
func (s *Session) read(one sql.Statement) (p *prepared, err error) {
	p = &prepared{statement: &one}
	if !one.Select {
		p.command, err = readCommand(one.Words)
	}
	return p, err
}

// prepare finds the types of a statement. known are those of parameters that the client has told.
func (s *Session) prepare(p *prepared, known []datum.Type) (err error) {
	if p.statement == nil {
		return nil
	}
	if s.status == 'E' && (p.command == nil || !p.command.ends) {
		return pgerror.New(pgerror.FailedTransaction,
			"current transaction is aborted, commands ignored until end of transaction block")
	}
	if p.command != nil {
		if p.command.columns != nil {
			p.columns = p.command.columns(s)
		}
		return nil
	}
	if p.query, err = sql.Prepare(*p.statement, s.world(), known); err != nil {
		return err
	}
	p.columns = p.query.Columns
	return nil
}

func (s *Session) parse(m *pgproto3.Parse) error {
	all, err := sql.Parse(m.Query)
	if err != nil {
		return err
	}
	p := &prepared{}
	switch len(all) {
	case 0:
	case 1:
		if p, err = s.read(all[0]); err != nil {
			return err
		}
	default:
		return pgerror.New(pgerror.SyntaxError, "cannot insert multiple commands into a prepared statement")
	}
	var known []datum.Type
	for _, oid := range m.ParameterOIDs {
		known = append(known, datum.Type(oid))
	}
	if err := s.prepare(p, known); err != nil {
		return err
	}
	if m.Name != "" {
		if s.statements[m.Name] != nil {
			return pgerror.New(pgerror.DuplicateStatement, "prepared statement \"%s\" already exists", m.Name)
		}
		if err := s.room(len(m.Query) + len(m.Name)); err != nil {
			return err
		}
	}
	if p.source = len(m.Query) + len(m.Name); p.query != nil {
		p.statement = &sql.Statement{} // its words are not needed anymore
	}
	s.statements[m.Name] = p
	s.say(&pgproto3.ParseComplete{})
	return nil
}

// find returns a prepared statement by its name.
func (s *Session) find(name string) (*prepared, error) {
	p := s.statements[name]
	if p == nil && name == "" {
		return nil, pgerror.New(pgerror.InvalidStatementName, "unnamed prepared statement does not exist")
	} else if p == nil {
		return nil, pgerror.New(pgerror.InvalidStatementName, "prepared statement \"%s\" does not exist", name)
	}
	return p, nil
}

func (s *Session) bind(m *pgproto3.Bind) error {
	p, err := s.find(m.PreparedStatement)
	if err != nil {
		return err
	}
	o := &portal{of: p}
	if o.args, err = s.arguments(m, p.parameters()); err != nil {
		return err
	}
	if n := len(m.ResultFormatCodes); n > 1 && n != len(p.columns) {
		return pgerror.New(pgerror.ProtocolViolation,
			"bind message has %d result formats but query has %d columns", n, len(p.columns))
	}
	for i := range p.columns {
		f, err := format(m.ResultFormatCodes, i)
		if err != nil {
			return err
		}
		o.formats = append(o.formats, f)
	}
	if m.DestinationPortal != "" && s.portals[m.DestinationPortal] != nil {
		return pgerror.New(pgerror.DuplicateCursor, "cursor \"%s\" already exists", m.DestinationPortal)
	}
	if len(s.portals) >= maxPortals {
		return pgerror.New(pgerror.ProgramLimitExceeded, "too many portals")
	}
	s.portals[m.DestinationPortal] = o
	s.say(&pgproto3.BindComplete{})
	return nil
}

func (p *prepared) parameters() []datum.Type {
	if p.query == nil {
		return nil
	}
	return p.query.Parameters
}

// arguments reads the parameters of a Bind.
func (s *Session) arguments(m *pgproto3.Bind, types []datum.Type) (args []datum.Value, err error) {
	if n := len(m.ParameterFormatCodes); n > 1 && n != len(m.Parameters) {
		return nil, pgerror.New(pgerror.ProtocolViolation,
			"bind message has %d parameter formats but %d parameters", n, len(m.Parameters))
	}
	if len(m.Parameters) != len(types) {
		return nil, pgerror.New(pgerror.ProtocolViolation,
			"bind message supplies %d parameters, but prepared statement \"%s\" requires %d",
			len(m.Parameters), m.PreparedStatement, len(types))
	}
	for i, b := range m.Parameters {
		var v datum.Value
		f, err := format(m.ParameterFormatCodes, i)
		switch {
		case err != nil || b == nil:
		case f == 1:
			v, err = datum.ParseBinary(types[i], b)
		default:
			v, err = datum.Parse(types[i], string(b), s.settings.zone())
		}
		if err != nil {
			return nil, err
		}
		args = append(args, v)
	}
	return args, nil
}

// format returns the format code of a field: there is one for each, one for all, or none, which is text.
func format(codes []int16, i int) (int16, error) {
	code := int16(0)
	switch {
	case len(codes) == 1:
		code = codes[0]
	case len(codes) > 1:
		code = codes[i]
	}
	if code != 0 && code != 1 {
		return 0, pgerror.New(pgerror.InvalidParameterValue, "unsupported format code: %d", code)
	}
	return code, nil
}

func (s *Session) describe(m *pgproto3.Describe) error {
	var columns []sql.Column
	var formats []int16
	if m.ObjectType == 'S' {
		p, err := s.find(m.Name)
		if err != nil {
			return err
		}
		parameters := &pgproto3.ParameterDescription{}
		for _, t := range p.parameters() {
			parameters.ParameterOIDs = append(parameters.ParameterOIDs, uint32(t))
		}
		s.say(parameters)
		columns = p.columns
	} else {
		o := s.portals[m.Name]
		if o == nil {
			return errNoPortal(m.Name)
		}
		columns, formats = o.of.columns, o.formats
	}
	if columns == nil {
		s.say(&pgproto3.NoData{})
		return nil
	}
	s.say(rowDescription(columns, formats))
	return nil
}

func errNoPortal(name string) error {
	return pgerror.New(pgerror.InvalidCursorName, "portal \"%s\" does not exist", name)
}

func (s *Session) execute(m *pgproto3.Execute) error {
	o := s.portals[m.Portal]
	if o == nil {
		return errNoPortal(m.Portal)
	}
	if o.of.statement == nil {
		s.say(&pgproto3.EmptyQueryResponse{})
		return nil
	}
	if s.status == 'E' && (o.of.command == nil || !o.of.command.ends) {
		return pgerror.New(pgerror.FailedTransaction,
			"current transaction is aborted, commands ignored until end of transaction block")
	}
	if o.ran && o.of.columns == nil {
		return pgerror.New(pgerror.ObjectNotInPrerequisite, "portal \"%s\" cannot be run", m.Portal)
	}
	if !o.ran {
		if err := s.run(o); err != nil {
			return err
		}
	}
	return s.rows(o, int(m.MaxRows))
}

func (s *Session) closeOne(m *pgproto3.Close) error {
	if m.ObjectType == 'S' {
		delete(s.statements, m.Name)
	} else {
		delete(s.portals, m.Name)
	}
	s.say(&pgproto3.CloseComplete{})
	return nil
}
