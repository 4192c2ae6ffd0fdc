package pgtest

import (
	"testing"
	"time"
)

// WaitsFor makes commits of the server wait for names, as in synchronous_standby_names, and blocks until they do.
func (s *Server) WaitsFor(t testing.TB, names string) {
	t.Helper()
	s.Set(t, "synchronous_standby_names = '"+names+"'")
	s.Reload()
	WaitFor(t, time.Minute, "the primary to wait for "+names, func() (bool, error) {
		return s.Scalar(t, "SHOW synchronous_standby_names") == names, nil
	})
	s.Exec(t, "CHECKPOINT") // commits wait once the checkpointer has read the setting: it does before it works
}
