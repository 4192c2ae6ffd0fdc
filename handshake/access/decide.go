package access

import (
	"net/netip"
	"strconv"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

// Facts has the properties of a connection that rules look at.
type Facts struct {
	// Physical is a walsender without a database: it matches the keyword replication only.
	Physical bool
	User     string // as the server will see it
	Database string // the same; "" for a physical walsender
	// Client is the client's address; not valid for a unix socket.
	Client netip.Addr
	TLS    bool
	// Networks are the addresses of this machine with their networks, for samehost and samenet; nil: none.
	Networks func() []netip.Prefix
}

// Decision is the result of the rules for one connection.
type Decision struct {
	// Method verifies the client; Reject comes with a Refusal.
	Method Method
	// Rule is the number of the rule that matched, 0 when none did.
	Rule int
	// ClientCert (verify-ca, verify-full) and ClientName (cn, dn) are the rule's own requirement, which holds
	// instead of tls.clientcert; "" when it has none.
	ClientCert, ClientName string
	// Refusal is the error for the client; nil lets it go on. Its cause, for the log, names the rule.
	Refusal *pgerror.Error
}

// Policy is the rules of a listener and what holds without any.
type Policy struct {
	Rules *Rules
	// SCRAM says that this proxy verifies (auth.method: scram). The primary's pg_hba.conf is not asked about
	// physical walsenders then, so that without rules none is admitted (ruling R15).
	SCRAM bool
}

// Decide returns the first rule that matches, as PostgreSQL reads them.
func (p Policy) Decide(f Facts) Decision {
	if p.Rules.Len() == 0 {
		return p.unruled(f)
	}
	for i := range p.Rules.rules {
		if r := &p.Rules.rules[i]; r.matches(&f) {
			d := Decision{Method: r.method, Rule: r.number, ClientCert: r.clientCert, ClientName: r.clientName}
			if d.Method == Reject {
				d.Refusal = f.rejected().WithCause(reason("access rule " + strconv.Itoa(r.number)))
			}
			return d
		}
	}
	return Decision{Refusal: f.noEntry().WithCause(reason("no access rule matches"))}
}

// unruled returns the decision where there are no rules.
func (p Policy) unruled(f Facts) Decision {
	switch {
	case !p.SCRAM:
		return Decision{Method: Relay}
	case f.Physical:
		return Decision{Refusal: f.noEntry().WithCause(
			reason("with auth.method: scram a walsender needs a rule in access"))}
	}
	return Decision{Method: SCRAM}
}

func (r *rule) matches(f *Facts) bool {
	unix := !f.Client.IsValid()
	switch r.kind {
	case local:
		if !unix {
			return false
		}
	case hostSSL:
		if unix || !f.TLS {
			return false
		}
	case hostNoSSL:
		if unix || f.TLS {
			return false
		}
	default:
		if unix {
			return false
		}
	}
	if r.kind != local && !r.address.matches(f.Client, f.networks) {
		return false
	}
	return r.matchesDatabase(f) && r.matchesUser(f)
}

func (f *Facts) networks() []netip.Prefix {
	if f.Networks == nil {
		return nil
	}
	return f.Networks()
}

func (r *rule) matchesDatabase(f *Facts) bool {
	for i := range r.databases {
		n := &r.databases[i]
		matched := false
		switch {
		case f.Physical:
			matched = n.keyword == "replication"
		case n.keyword == "replication":
		case n.keyword == "sameuser":
			matched = f.Database == f.User
		default:
			matched = n.matches(f.Database)
		}
		if matched {
			return true
		}
	}
	return false
}

func (r *rule) matchesUser(f *Facts) bool {
	for i := range r.users {
		if r.users[i].matches(f.User) {
			return true
		}
	}
	return false
}

func (n *name) matches(text string) bool {
	switch {
	case n.keyword == "all":
		return true
	case n.pattern != nil:
		return n.pattern.MatchString(text)
	}
	return n.text == text
}
