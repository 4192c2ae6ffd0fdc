package physical

import (
	"context"
	"errors"
	"strings"

	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// show asks the primary while the session's connection to it is open, and answers what is known
// otherwise (ruling R31).
func (s *session) show(parent, ctx context.Context, before []byte, c *grammar.Show, query string) error {
	if s.asksCaughtUp(c) {
		return s.caughtUp(parent, ctx, before, c)
	}
	s.program = s.program || strings.EqualFold(c.Name, "data_directory_mode")
	if s.link.take() {
		err := s.forward(parent, ctx, c, query)
		if !errors.Is(err, errLinkLost) {
			return err
		}
		s.link.close()
	}
	name, setting, ok := s.setting(c.Name)
	if !ok && s.server.Verified() != nil {
		return s.pass(parent, ctx, c, query)
	}
	if !ok {
		return s.fail(before, errReconnect(c))
	}
	return s.send(s.ready(appendResult(before, "SHOW", showColumns(name), text(setting))))
}

// isProgram reports whether the client is pg_basebackup or pg_receivewal. Its name may be another one, as pg_basebackup
// -R gives the standby's. Since version 11 both ask for data_directory_mode on each connection, which no server does.
func (s *session) isProgram() bool {
	switch s.parameters["application_name"] {
	case "pg_basebackup", "pg_receivewal":
		return true
	}
	return s.program
}

// setting looks a name up, without case, among what the primary reported for this session and what
// the walreceiver knows of the primary. What the client itself set in its startup packet, and the
// primary does not report, is not known.
func (s *session) setting(name string) (canonical, setting string, ok bool) {
	if canonical, setting, ok = lookUp(s.parameters, name); ok {
		return canonical, setting, true
	}
	if _, own := s.req.Setting(name); own {
		return "", "", false
	}
	if canonical, setting, ok = lookUp(s.h.o.Settings(), name); ok {
		return canonical, setting, true
	}
	return lookUp(s.stored, name)
}

func lookUp(settings map[string]string, name string) (canonical, setting string, ok bool) {
	if setting, ok = settings[name]; ok {
		return name, setting, true
	}
	for canonical, setting = range settings {
		if strings.EqualFold(canonical, name) {
			return canonical, setting, true
		}
	}
	return "", "", false
}

// errReconnect returns the error for what only the session's own connection to the primary could answer.
func errReconnect(c grammar.Command) *pgerror.Error {
	return pgerror.New(pgerror.ObjectNotInPrerequisite,
		"cannot execute %s: this session's connection to the primary is closed", c.Tag()).
		WithDetail("replproxy keeps it for a short time after the log-in, and not while WAL is streamed.").
		WithHint("Reconnect and repeat the command.")
}
