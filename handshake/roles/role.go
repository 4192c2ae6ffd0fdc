package roles

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/scramauth"
)

// Secret is a password as pg_authid has it. It shows itself to no formatter.
type Secret string

// Format shows nothing of the secret.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "********") }

// Role is a source's answer about one role.
type Role struct {
	Name        string    `json:"name"`
	Secret      Secret    `json:"secret"` // "" is none
	Login       bool      `json:"login"`
	Replication bool      `json:"replication"`
	Superuser   bool      `json:"superuser"`
	ValidUntil  time.Time `json:"valid_until"` // of the secret; zero: no end
}

// Found is the answer to who a name is.
type Found struct {
	Role  Role
	Known bool // there is such a role
	// Certain: the source said so within cache_ttl. Otherwise it did not answer: Role is what it said
	// within cache_max_age if it is down, or nothing.
	Certain bool
	// FromPrimary: the secret is the primary's own, not one of auth.users_file.
	FromPrimary bool
	// Asked: the primary was asked for this very answer.
	Asked bool
}

// Verifier returns the verifier for a client that says to be this role. If the role can not log in, why is the reason
// for the log and v is a mock: PostgreSQL goes through the motions, too.
func (f Found) Verifier(now time.Time) (v scramauth.Verifier, why string) {
	switch {
	case !f.Known && !f.Certain:
		return v, "the primary cannot be asked for the role"
	case !f.Known:
		return v, "the role does not exist"
	case f.Role.Secret == "":
		return v, "the role has no password assigned"
	case !f.Role.ValidUntil.IsZero() && !now.Before(f.Role.ValidUntil):
		return v, "the role has an expired password"
	}
	v, err := scramauth.ParseVerifier(string(f.Role.Secret))
	if err != nil {
		why = "the role does not have a valid SCRAM secret"
		if strings.HasPrefix(string(f.Role.Secret), "md5") {
			why += ": it is md5, set the password anew with password_encryption = 'scram-sha-256'"
		}
	}
	return v, why
}

// MayLogIn returns PostgreSQL's refusal of a role that has proved itself, or nil.
func (r Role) MayLogIn() *pgerror.Error {
	if r.Login {
		return nil
	}
	return pgerror.Fatal(pgerror.InvalidAuthorization, "role \"%s\" is not permitted to log in", r.Name)
}

// MayReplicate returns PostgreSQL's refusal of a walsender, by version, or nil.
func (r Role) MayReplicate(v grammar.Version) *pgerror.Error {
	switch {
	case r.Superuser || r.Replication:
		return nil
	case v.Major() < 16:
		return pgerror.Fatal(pgerror.InsufficientPrivilege, "must be superuser or replication role to start walsender")
	}
	return pgerror.Fatal(pgerror.InsufficientPrivilege, "permission denied to start WAL sender").
		WithDetail("Only roles with the REPLICATION attribute may start a WAL sender process.")
}

// Verified is a client that has proved to be a role.
type Verified struct {
	Role        Role
	Keys        scramauth.Keys
	FromPrimary bool // by the primary's own verifier
}
