package console

import (
	"maps"
	"strings"
	"time"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/proxy/console/datum"
	"github.com/replproxy/replproxy/proxy/console/sql"
)

// modes reads the modes of a transaction. All are taken, and none matters: there is nothing to write.
func (w *words) modes(tag string) (*command, error) {
	for first := true; ; first = false {
		if !first {
			w.take(",")
		}
		switch {
		case w.take("isolation"):
			level := w.take("level") && (w.take("serializable") || w.take("repeatable") && w.take("read") ||
				w.take("read") && w.take("committed", "uncommitted"))
			if !level {
				return nil, sql.Wrong(w.peek())
			}
		case w.take("read"):
			if !w.take("only", "write") {
				return nil, sql.Wrong(w.peek())
			}
		case w.take("not"):
			if !w.take("deferrable") {
				return nil, sql.Wrong(w.peek())
			}
		case w.take("deferrable"):
		default:
			if first && tag == "SET" {
				return nil, sql.Wrong(w.peek())
			}
			return &command{run: func(*Session) ([][]datum.Value, string, error) { return nil, tag, nil }}, nil
		}
	}
}

func (w *words) begin(first sql.Token) (*command, error) {
	if first.Is("start") && !w.peek().Is("transaction") {
		return nil, sql.Wrong(w.peek())
	}
	w.take("work", "transaction")
	if _, err := w.modes("BEGIN"); err != nil {
		return nil, err
	}
	tag := "BEGIN"
	if first.Is("start") {
		tag = "START TRANSACTION"
	}
	return &command{run: func(s *Session) ([][]datum.Value, string, error) {
		if s.status == 'T' {
			s.notice(&pgerror.Error{
				Severity: pgerror.SeverityWarning, Code: pgerror.ActiveSQLTransaction,
				Message: "there is already a transaction in progress",
			})
			return nil, tag, nil
		}
		s.status, s.settings.before = 'T', maps.Clone(s.settings.now)
		return nil, tag, nil
	}}, nil
}

func (s *Session) commit() ([][]datum.Value, string, error) {
	if s.status == 'E' {
		return s.rollback()
	}
	s.warnOutside()
	s.restore(s.settings.local)
	s.endTransaction()
	return nil, "COMMIT", nil
}

func (s *Session) rollback() ([][]datum.Value, string, error) {
	s.warnOutside()
	s.restore(s.settings.before)
	s.endTransaction()
	return nil, "ROLLBACK", nil
}

func (s *Session) warnOutside() {
	if s.status == 'I' {
		s.notice(&pgerror.Error{
			Severity: pgerror.SeverityWarning, Code: pgerror.NoActiveTransaction,
			Message: "there is no transaction in progress",
		})
	}
}

func (s *Session) endTransaction() {
	s.status, s.settings.before, s.settings.local, s.savepoints, s.began = 'I', nil, nil, nil, time.Time{}
	clear(s.portals)
}

func (w *words) discard() (*command, error) {
	t := w.next()
	if !t.Is("all", "plans", "sequences", "temp", "temporary") {
		return nil, sql.Wrong(t)
	}
	tag := "DISCARD " + strings.ToUpper(strings.TrimSuffix(t.Text, "orary"))
	return &command{run: func(s *Session) ([][]datum.Value, string, error) {
		if !t.Is("all") {
			return nil, tag, nil
		}
		if s.status != 'I' {
			return nil, "", pgerror.New(pgerror.ActiveSQLTransaction,
				"DISCARD ALL cannot run inside a transaction block")
		}
		clear(s.statements)
		clear(s.portals)
		s.restore(s.settings.start)
		return nil, tag, nil
	}}, nil
}

func (w *words) deallocate() (*command, error) {
	w.take("prepare")
	t := w.next()
	if t.Kind != sql.Word && t.Kind != sql.Quoted {
		return nil, sql.Wrong(t)
	}
	return &command{run: func(s *Session) ([][]datum.Value, string, error) {
		if t.Is("all") {
			clear(s.statements)
			return nil, "DEALLOCATE ALL", nil
		}
		if _, err := s.find(t.Text); err != nil {
			return nil, "", err
		}
		delete(s.statements, t.Text)
		return nil, "DEALLOCATE", nil
	}}, nil
}
