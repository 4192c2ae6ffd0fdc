package physical

import (
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/access"
	"github.com/replproxy/replproxy/handshake/authwatch"
)

// physical refuses physical commands to a client that could not have come in as a physical walsender; nil admits it.
func (d *database) physical() *pgerror.Error {
	return refusePhysical(d.s.server.PhysicalAccess(), d.legs.Proven, d.s.server.Verified() != nil)
}

// refusePhysical judges a session on a database by the rules for a physical walsender: the way it came in must be
// enough for that rule too. proven: it has proved its role to the primary or to us. verified: to us. Requirements of
// the connection, TLS and certificates, are a Refusal of the decision already. What it gives is an ERROR, in the words
// that the physical walsender would have had.
func refusePhysical(as access.Decision, proven, verified bool) *pgerror.Error {
	var e *pgerror.Error
	switch {
	case as.Refusal != nil:
		e = as.Refusal
	case as.Method == access.Trust,
		as.Method == access.Relay && proven,
		as.Method == access.SCRAM && verified:
		return nil
	case as.Method == access.SCRAM:
		e = pgerror.New(pgerror.InvalidAuthorization, "access rule %d asks for scram-sha-256 of physical walsenders",
			as.Rule)
	default:
		e = authwatch.Unproven(true)
	}
	softer := *e
	softer.Severity = pgerror.SeverityError
	return &softer
}
