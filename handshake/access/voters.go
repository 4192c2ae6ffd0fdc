package access

import (
	"crypto/x509"
	"fmt"
	"strings"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake"
)

// MaxVoters bounds the lines of a list of voters: rules have a few names.
const MaxVoters = 1000

// Voters binds the names under which a rule counts standbys to roles or certificates. It is not changed after
// ParseVoters. nil binds nothing.
type Voters struct{ owners map[string][]owner }

// owner may replicate under a name: a role, or who has shown a certificate.
type owner struct {
	cert bool
	name string
}

// ParseVoters reads lines of the form
//
//	NAME role ROLE
//	NAME cert SUBJECT
//
// with "quotes" around what has blanks. SUBJECT with a = is a distinguished name as clientname=DN compares it, as in
// CN=s1,O=x. Without one it is a common name; the first one of the certificate counts, as at the log-in. Several lines
// about one name allow each of them. certs: some line is about a certificate. The error names the line's number.
func ParseVoters(lines []string) (v *Voters, certs bool, err error) {
	if len(lines) > MaxVoters {
		return nil, false, fmt.Errorf("more than %d lines", MaxVoters)
	}
	v = &Voters{owners: map[string][]owner{}}
	for i, line := range lines {
		f := words(line)
		if len(f) != 3 || f[1] != "role" && f[1] != "cert" || f[0] == "" || f[2] == "" {
			return nil, false, fmt.Errorf(`line %d is not NAME role ROLE, or NAME cert SUBJECT`, i+1)
		}
		certs = certs || f[1] == "cert"
		name := fold(f[0])
		v.owners[name] = append(v.owners[name], owner{f[1] == "cert", f[2]})
	}
	return v, certs, nil
}

// words splits at blanks outside of double quotes, which are doubled within.
func words(line string) (all []string) {
	var b strings.Builder
	quoted, begun := false, false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '"' && quoted && i+1 < len(line) && line[i+1] == '"':
			b.WriteByte(c)
			i++
		case c == '"':
			quoted, begun = !quoted, true
		case (c == ' ' || c == '\t') && !quoted:
			if begun {
				all = append(all, b.String())
				b.Reset()
				begun = false
			}
		default:
			b.WriteByte(c)
			begun = true
		}
	}
	if quoted {
		return nil
	}
	if begun {
		all = append(all, b.String())
	}
	return all
}

// fold returns a name as PostgreSQL compares application_name with a rule: ASCII letters in lower case.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + ('a' - 'A')
		}
		return r
	}, s)
}

// is tells whether user, or who has shown cert, is the owner. A certificate's names are those of the log-in.
func (o owner) is(user string, cert *x509.Certificate) bool {
	switch {
	case !o.cert:
		return o.name == user
	case cert == nil:
		return false
	case strings.Contains(o.name, "="):
		return o.name == handshake.DN(cert)
	}
	return o.name == handshake.CN(cert)
}

// Refuse returns the refusal of a stream under a name that is bound to others, or nil. user has logged in; cert was
// shown by the client and verified here, nil for none.
func (v *Voters) Refuse(name, user string, cert *x509.Certificate) *pgerror.Error {
	if v == nil {
		return nil
	}
	owners, bound := v.owners[fold(name)]
	if !bound {
		return nil
	}
	for _, o := range owners {
		if o.is(user, cert) {
			return nil
		}
	}
	return pgerror.New(pgerror.InsufficientPrivilege, "permission denied to replicate as \"%s\"", name).
		WithDetail("The name is bound to other roles or certificates than this session's.").
		WithHint("Set another application_name, or see voters of replproxy's configuration.")
}
