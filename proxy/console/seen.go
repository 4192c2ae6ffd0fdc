package console

import (
	"context"
	"strings"

	"github.com/replproxy/replproxy/proxy/console/sql"
)

// seen holds the tables and settings that the statements of one message have read, and the steps that are left to them.
type seen struct {
	steps    *sql.Steps
	snapshot *Snapshot
	tables   map[string]table
	primary  map[string]string // settings by their names in lower case
}

// look begins a message.
func (s *Session) look(ctx context.Context) {
	s.out, s.seen = nil, seen{steps: sql.NewSteps(ctx.Err), tables: map[string]table{}}
}

func (s *Session) now() *Snapshot {
	if s.seen.snapshot == nil {
		s.seen.snapshot = s.snapshot()
	}
	return s.seen.snapshot
}

// table returns a table by its name, and ok false for none.
func (s *Session) table(name string) (t table, ok bool) {
	if t, ok = s.seen.tables[name]; !ok {
		if t, ok = lookUp(name, s.now(), s.major); ok {
			s.seen.tables[name] = t
		}
	}
	return t, ok
}

// ofPrimary returns the settings of the primary.
func (s *Session) ofPrimary() map[string]string {
	if s.seen.primary == nil && s.client.Settings != nil {
		s.seen.primary = map[string]string{}
		for name, value := range s.client.Settings() {
			s.seen.primary[strings.ToLower(name)] = value
		}
	}
	return s.seen.primary
}
