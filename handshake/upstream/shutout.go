package upstream

import (
	"errors"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

// ShutOut reports whether err is the primary's refusal of the role, or of the database. A primary that stops, or has no
// connection left, refuses everybody, and says nothing about the role.
func ShutOut(err error) bool {
	var refusal *pgerror.Error
	if !errors.As(err, &refusal) || len(refusal.Code) < 2 {
		return false
	}
	switch refusal.Code[:2] {
	case "28", "3D", "42": // authorization, no such database, no CONNECT privilege
		return true
	}
	return false
}
