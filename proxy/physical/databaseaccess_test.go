package physical

import (
	"strings"
	"testing"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/access"
)

// TestRefusePhysical: how a session on a database came in must be enough for the rule about physical walsenders.
func TestRefusePhysical(t *testing.T) {
	refusal := pgerror.Fatal(pgerror.InvalidAuthorization, "connection requires a valid client certificate")
	for _, tc := range []struct {
		as               access.Decision
		proven, verified bool
		want             string // "": admitted
	}{
		{access.Decision{Method: access.Trust}, false, false, ""},
		{access.Decision{Method: access.Trust}, true, false, ""},
		{access.Decision{Method: access.Trust}, true, true, ""},
		{access.Decision{Method: access.Trust, Refusal: refusal}, true, true, "valid client certificate"},
		{access.Decision{Method: access.Relay}, false, false, "log-in refused"},
		{access.Decision{Method: access.Relay}, true, false, ""},
		{access.Decision{Method: access.Relay}, true, true, ""},
		{access.Decision{Method: access.Relay, Refusal: refusal}, true, true, "valid client certificate"},
		{access.Decision{Method: access.SCRAM, Rule: 3}, false, false, "access rule 3 asks for scram-sha-256"},
		{access.Decision{Method: access.SCRAM, Rule: 3}, true, false, "access rule 3 asks for scram-sha-256"},
		{access.Decision{Method: access.SCRAM, Rule: 3}, true, true, ""},
		{access.Decision{Method: access.SCRAM, Refusal: refusal}, true, true, "valid client certificate"},
		{access.Decision{Method: access.Reject, Refusal: refusal}, true, true, "valid client certificate"},
		{access.Decision{}, false, false, "log-in refused"},
	} {
		e := refusePhysical(tc.as, tc.proven, tc.verified)
		switch {
		case tc.want == "":
			if e != nil {
				t.Errorf("%+v: %v", tc, e)
			}
		case e == nil || e.Code != "28000" || e.Severity != pgerror.SeverityError || !strings.Contains(e.Message, tc.want):
			t.Errorf("%+v: %v", tc, e)
		}
	}
	if refusal.Severity == pgerror.SeverityError {
		t.Error("the decision was changed")
	}
}
