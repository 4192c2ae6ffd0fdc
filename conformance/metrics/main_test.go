package metrics

import (
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }
