package console

import (
	"maps"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/proxy/console/datum"
	"github.com/replproxy/replproxy/proxy/console/sql"
)

// savepoint has the settings to which a transaction can go back. Drivers nest transactions by them.
type savepoint struct {
	name     string
	settings map[string]string
}

// savepoint reads the name of a savepoint, and makes a command of what is done with it.
func (w *words) savepoint(do func(*Session, string) (tag string, err error)) (*command, error) {
	t := w.next()
	if t.Kind != sql.Word && t.Kind != sql.Quoted {
		return nil, sql.Wrong(t)
	}
	run := func(s *Session) (_ [][]datum.Value, tag string, err error) {
		if s.status == 'I' {
			return nil, "", pgerror.New(pgerror.NoActiveTransaction,
				"savepoints can only be used in transaction blocks")
		}
		tag, err = do(s, t.Text)
		return nil, tag, err
	}
	return &command{run: run}, nil
}

func (s *Session) defineSavepoint(name string) (tag string, err error) {
	if len(s.savepoints) >= maxSavepoints {
		return "", pgerror.New(pgerror.ProgramLimitExceeded, "too many savepoints")
	}
	s.savepoints = append(s.savepoints, savepoint{name, maps.Clone(s.settings.now)})
	return "SAVEPOINT", nil
}

func (s *Session) releaseSavepoint(name string) (tag string, err error) {
	i, err := s.findSavepoint(name)
	if err == nil {
		s.savepoints = s.savepoints[:i]
	}
	return "RELEASE", err
}

func (s *Session) rollbackTo(name string) (tag string, err error) {
	i, err := s.findSavepoint(name)
	if err == nil {
		s.restore(s.savepoints[i].settings)
		s.savepoints, s.status = s.savepoints[:i+1], 'T'
	}
	return "ROLLBACK", err
}

// findSavepoint returns the index of the newest savepoint of a name.
func (s *Session) findSavepoint(name string) (int, error) {
	for i := len(s.savepoints) - 1; i >= 0; i-- {
		if s.savepoints[i].name == name {
			return i, nil
		}
	}
	return 0, pgerror.New(pgerror.InvalidSavepoint, "savepoint \"%s\" does not exist", name)
}
