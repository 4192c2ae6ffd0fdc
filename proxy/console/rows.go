package console

import (
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/replproxy/replproxy/proxy/console/datum"
	"github.com/replproxy/replproxy/proxy/console/sql"
)

// run runs a portal's statement, and leaves its rows in it.
func (s *Session) run(o *portal) (err error) {
	o.ran = true
	var rows [][]datum.Value
	if c := o.of.command; c != nil {
		rows, o.tag, err = c.run(s)
	} else {
		rows, err = o.of.query.Run(s.world(), o.args)
	}
	if err != nil {
		return err
	}
	all := slices.Clone(rows)
	for _, other := range s.portals {
		all = append(all, other.rows...)
	}
	if err = fit(all); err == nil {
		o.rows = rows
	}
	return err
}

// rows sends rows of a portal: at most so many, 0 for all.
func (s *Session) rows(o *portal, limit int) error {
	n := len(o.rows)
	if limit > 0 {
		n = min(n, limit)
	}
	zone := s.settings.zone()
	for _, row := range o.rows[:n] {
		m := &pgproto3.DataRow{Values: make([][]byte, len(row))}
		size := len(s.out) + rowHeader
		for i, v := range row {
			switch typ := o.of.columns[i].Type; {
			case v == nil:
			case o.formats != nil && o.formats[i] == 1:
				m.Values[i] = datum.AppendBinary([]byte{}, typ, v)
			default:
				m.Values[i] = []byte(datum.Format(typ, v, zone))
			}
			if size += cellHeader + len(m.Values[i]); size > maxAnswer {
				o.rows = nil
				return errAnswer()
			}
		}
		s.say(m)
	}
	o.rows = o.rows[n:]
	if limit > 0 && n == limit {
		s.say(&pgproto3.PortalSuspended{})
		return nil
	}
	tag := o.tag
	if tag == "" {
		tag = fmt.Sprintf("SELECT %d", n)
	}
	s.say(&pgproto3.CommandComplete{CommandTag: []byte(tag)})
	return nil
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
