package console

import (
	"fmt"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/replproxy/replproxy/proxy/console/datum"
	"github.com/replproxy/replproxy/proxy/console/sql"
)

// run runs a portal's statement, and leaves its rows in it.
func (s *Session) run(o *portal) (err error) {
	o.ran = true
	if c := o.of.command; c != nil {
		o.rows, o.tag, err = c.run(s)
		return err
	}
	o.rows, err = o.of.query.Run(s.world(), o.args)
	return err
}

// rows sends rows of a portal: at most so many, 0 for all.
func (s *Session) rows(o *portal, limit int) {
	n := len(o.rows)
	if limit > 0 {
		n = min(n, limit)
	}
	zone := s.settings.zone()
	for _, row := range o.rows[:n] {
		m := &pgproto3.DataRow{Values: make([][]byte, len(row))}
		for i, v := range row {
			switch typ := o.of.columns[i].Type; {
			case v == nil:
			case o.formats != nil && o.formats[i] == 1:
				m.Values[i] = datum.AppendBinary([]byte{}, typ, v)
			default:
				m.Values[i] = []byte(datum.Format(typ, v, zone))
			}
		}
		s.say(m)
	}
	o.rows = o.rows[n:]
	if limit > 0 && n == limit {
		s.say(&pgproto3.PortalSuspended{})
		return
	}
	tag := o.tag
	if tag == "" {
		tag = fmt.Sprintf("SELECT %d", n)
	}
	s.say(&pgproto3.CommandComplete{CommandTag: []byte(tag)})
}

func rowDescription(columns []sql.Column, formats []int16) *pgproto3.RowDescription {
	m := &pgproto3.RowDescription{}
	for i, c := range columns {
		f := pgproto3.FieldDescription{
			Name: []byte(c.Name), DataTypeOID: uint32(c.Type), DataTypeSize: c.Type.Size(), TypeModifier: -1,
		}
		if formats != nil {
			f.Format = formats[i]
		}
		m.Fields = append(m.Fields, f)
	}
	return m
}
