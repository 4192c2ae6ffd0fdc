package loss

import (
	"strings"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

// HeldBack says why no standby is served from the store of a node; "": they are. newcomer: the node may have forgotten
// which WAL was given up. unheard are the members that have yet to say it.
func HeldBack(newcomer bool, unheard []string) string {
	switch {
	case !newcomer:
		return ""
	case len(unheard) == 0:
		return "data_dir is new, and while no WAL comes in it is not known whether it has WAL that was given up"
	}
	return "data_dir is new, and has yet to hear which WAL was given up, from " + strings.Join(unheard, " or ")
}

// HoldBack returns the reason that [HeldBack] gives in PostgreSQL's words, by which a standby asks again; nil: it is
// served.
func HoldBack(newcomer bool, unheard []string) error {
	why := HeldBack(newcomer, unheard)
	if why == "" {
		return nil
	}
	return pgerror.New(pgerror.CannotConnectNow, "the database system is starting up").
		WithDetail("replproxy's %s.", why)
}
