package scene

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

func (s *QuorumSite) WaitWarning(t *testing.T, want string) {
	t.Helper()
	pgtest.WaitFor(t, time.Minute, "the warning "+want, func() (bool, error) {
		all := Status(t, s.Proxy).Warnings
		return slices.ContainsFunc(all, func(w string) bool { return strings.Contains(w, want) }), nil
	})
}
