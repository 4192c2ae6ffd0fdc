package physical

import (
	"github.com/replproxy/replproxy/internal/wire"
	"github.com/replproxy/replproxy/proxy/console"
)

// Console answers one query. It is called from the sessions' goroutines and must not block.
type Console func(query string) (console.Table, error)

// ask answers a query of the console.
func (s *session) ask(query string) error {
	t, err := s.console(query)
	if err != nil {
		return s.fail(nil, err)
	}
	if t.Columns == nil {
		return s.send(s.ready(wire.AppendFrame(nil, 'I', nil)))
	}
	var cols []column
	for _, name := range t.Columns {
		cols = append(cols, textColumn(name))
	}
	b := appendRowDescription(nil, cols)
	for _, row := range t.Rows {
		values := make([]value, len(row))
		for i, v := range row {
			if v != nil {
				values[i] = append(value{}, *v...)
			}
		}
		b = appendDataRow(b, values...)
	}
	return s.send(s.ready(appendComplete(b, t.Tag)))
}
