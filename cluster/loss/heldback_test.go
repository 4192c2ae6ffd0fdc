package loss

import (
	"errors"
	"testing"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

// TestHoldBack: a node that may have forgotten losses serves nobody, and says for whom it waits. Who asks is to ask
// again.
func TestHoldBack(t *testing.T) {
	for name, c := range map[string]struct {
		newcomer bool
		unheard  []string
		want     string
	}{
		"an old data_dir":            {false, []string{"b"}, ""},
		"members have yet to say it": {true, []string{"b", "c"}, "replproxy's data_dir is new, and has yet to hear which WAL was given up, from b or c."},
		"all have, and no WAL is in": {true, nil, "replproxy's data_dir is new, and while no WAL comes in it is not known whether it has WAL that was given up."},
	} {
		err := HoldBack(c.newcomer, c.unheard)
		var e *pgerror.Error
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		} else if !errors.As(err, &e) || e.Code != pgerror.CannotConnectNow || e.Detail != c.want {
			t.Errorf("%s: %#v", name, err)
		}
	}
}
