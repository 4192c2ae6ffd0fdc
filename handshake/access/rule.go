package access

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// Method is the decision of a rule, or of the absence of rules.
type Method uint8

// The methods.
const (
	Reject Method = iota // also where no rule matches
	Relay
	SCRAM
	Trust
)

// String returns the method's word in a rule.
func (m Method) String() string {
	switch m {
	case Relay:
		return "relay"
	case SCRAM:
		return "scram-sha-256"
	case Trust:
		return "trust"
	}
	return "reject"
}

// kind is the first word of a rule.
type kind uint8

const (
	local     kind = iota
	host           // TLS or not; hostnogssenc is the same here
	hostSSL        // with TLS
	hostNoSSL      // without
)

// rule is one line. A local one has no address.
type rule struct {
	kind      kind
	databases []name
	users     []name
	address   address
	method    Method

	clientCert, clientName string // verify-ca or verify-full, cn or dn; "" when the rule does not say
}

// name is one of a list of databases or users: a keyword, a regular expression or a plain name.
type name struct {
	keyword string // all, sameuser or replication; "" for none
	pattern *regexp.Regexp
	text    string
}

// Rules is a checked list. It is not changed after Parse. nil and an empty one have no rules.
type Rules struct {
	rules []numbered
}

// numbered is a rule and its place in the list that was parsed, from 1.
type numbered struct {
	rule
	number int
}

// AdmitPhysical reports whether a rule lets any physical walsender in. It is false of nil, which has no rules.
func (r *Rules) AdmitPhysical() bool {
	if r == nil {
		return false
	}
	replication := func(d name) bool { return d.keyword == "replication" }
	return slices.ContainsFunc(r.rules, func(n numbered) bool {
		return n.method != Reject && slices.ContainsFunc(n.databases, replication)
	})
}

// Len returns the number of rules; 0 of nil.
func (r *Rules) Len() int {
	if r == nil {
		return 0
	}
	return len(r.rules)
}

// number returns the number of the first rule that is so, from 1 on; 0 for none.
func (r *Rules) number(is func(*rule) bool) int {
	for i := range r.Len() {
		if is(&r.rules[i].rule) {
			return r.rules[i].number
		}
	}
	return 0
}

// FirstWith tells the number of the first rule with method m, 0 for none.
func (r *Rules) FirstWith(m Method) int { return r.number(func(r *rule) bool { return r.method == m }) }

// FirstTrust tells the number of the first rule that says trust, 0 for none.
func (r *Rules) FirstTrust() int { return r.FirstWith(Trust) }

// Trusts tells the number of the first rule by which some client with that TCP address is trusted, 0 for none. Rules
// before it that decide about everybody there hide it.
func (r *Rules) Trusts(client netip.Addr) int {
	var decided [2]bool // about whoever is no physical walsender, and about who is
	for i := range r.Len() {
		one := &r.rules[i].rule
		if one.kind == local || !one.address.matches(client, networks) {
			continue
		}
		about := one.about()
		if one.method == Trust && (about[0] && !decided[0] || about[1] && !decided[1]) {
			return r.rules[i].number
		}
		if one.kind == host && hasWord(one.users, "all") {
			decided[0] = decided[0] || hasWord(one.databases, "all")
			decided[1] = decided[1] || about[1]
		}
	}
	return 0
}

// about tells whether a rule speaks of those that are no physical walsenders, and of those that are.
func (r *rule) about() (all [2]bool) {
	for _, d := range r.databases {
		if d.keyword == "replication" {
			all[1] = true
		} else {
			all[0] = true
		}
	}
	return all
}

func hasWord(names []name, keyword string) bool {
	return slices.ContainsFunc(names, func(n name) bool { return n.keyword == keyword })
}

// FirstTLS tells the number of the first rule that only a connection with TLS matches, 0 for none.
func (r *Rules) FirstTLS() int { return r.number(func(r *rule) bool { return r.kind == hostSSL }) }

// FirstCertificate tells the number of the first rule that wants a client certificate, 0 for none.
func (r *Rules) FirstCertificate() int {
	return r.number(func(r *rule) bool { return r.clientCert != "" })
}

// Verified returns the roles that rules with scram-sha-256 name, each once.
func (r *Rules) Verified() (users []string) {
	for i := range r.Len() {
		if r.rules[i].method != SCRAM {
			continue
		}
		for _, u := range r.rules[i].users {
			if u.keyword == "" && u.pattern == nil && !slices.Contains(users, u.text) {
				users = append(users, u.text)
			}
		}
	}
	return users
}

// Error describes a fault of one rule.
type Error struct {
	Rule    int    // from 1
	Offset  int    // of the byte in the rule where it begins
	Message string // in PostgreSQL's words where it has some
	Hint    string
	line    string
}

// Error returns the message, and the rule with a caret under it.
func (e *Error) Error() string {
	return fmt.Sprintf("rule %d: %s\n    %s\n    %s^", e.Rule, e.Text(),
		strings.ReplaceAll(e.line, "\t", " "), strings.Repeat(" ", e.Offset))
}

// Text returns the message with its hint.
func (e *Error) Text() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + "; " + e.Hint
}

// Errors holds at most one error for each rule.
type Errors []*Error

// Error returns one line for each of the errors.
func (e Errors) Error() string {
	all := make([]string, len(e))
	for i, x := range e {
		all[i] = x.Error()
	}
	return strings.Join(all, "\n")
}
