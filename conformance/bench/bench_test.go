package bench

import (
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// TestMain removes the files of the harness at the end. A child of this program runs what it was started for.
func TestMain(m *testing.M) {
	endAsChild()
	pgtest.Main(m)
}
