package access

import (
	"fmt"
	"strings"
)

// Bounds of the rules that are parsed. Every connection walks the list.
const (
	// MaxRules bounds the rules of a list; real pg_hba.conf files have a few dozen.
	MaxRules = 2000
	// MaxRule bounds the bytes of a rule.
	MaxRule = 10240
)

// Parse reads rules, one in each line, in the syntax of pg_hba.conf. A line that is empty or only a comment
// is no rule. The error is [Errors].
func Parse(lines []string) (*Rules, error) {
	var errs Errors
	all := &Rules{}
	for i, line := range lines {
		r, err := parseLine(line)
		if err == nil && len(all.rules) == MaxRules && r != nil {
			err = &Error{Message: fmt.Sprintf("more than %d rules", MaxRules)}
		}
		switch {
		case err != nil:
			err.Rule, err.line = i+1, line
			errs = append(errs, err)
		case r != nil:
			all.rules = append(all.rules, numbered{*r, i + 1})
		}
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return all, nil
}

// parser reads one rule, left to right.
type parser struct {
	scanner
	end int // where the line ends, for what is missing there
}

func parseLine(line string) (*rule, *Error) {
	if len(line) > MaxRule {
		return nil, &Error{Offset: MaxRule, Message: fmt.Sprintf("is longer than %d bytes", MaxRule)}
	}
	if i := strings.IndexAny(line, "\n\x00"); i >= 0 {
		return nil, &Error{Offset: i, Message: "has more than one line", Hint: "write each rule as an item of its own"}
	}
	p := &parser{scanner{line: line}, len(line)}
	first, err := p.next()
	if err != nil || first == nil {
		return nil, err
	}
	r := &rule{}
	if r.kind, err = connectionType(first); err != nil {
		return nil, err
	}
	if r.databases, err = p.names("database", "all", "sameuser", "replication"); err != nil {
		return nil, err
	}
	if r.users, err = p.names("role", "all"); err != nil {
		return nil, err
	}
	if r.kind != local {
		if r.address, err = p.address(); err != nil {
			return nil, err
		}
	}
	if r.method, err = p.method(); err != nil {
		return nil, err
	}
	return r, p.options(r)
}

func connectionType(f field) (kind, *Error) {
	if len(f) > 1 {
		return 0, multiple(f, "connection type")
	}
	switch t := f[0]; t.text {
	case "local":
		return local, nil
	case "host", "hostnogssenc":
		return host, nil
	case "hostssl":
		return hostSSL, nil
	case "hostnossl":
		return hostNoSSL, nil
	case "hostgssenc":
		return 0, t.bad("hostgssenc record cannot match because GSSAPI encryption is not supported by replproxy",
			"leave the rule out")
	case "include", "include_if_exists", "include_dir":
		return 0, t.bad(t.text+" is not supported here", "write the rules themselves")
	default:
		return 0, t.bad(fmt.Sprintf("invalid connection type %q", t.text),
			"it is one of local, host, hostssl, hostnossl, hostnogssenc")
	}
}

// names reads a list of databases or roles.
func (p *parser) names(what string, keywords ...string) ([]name, *Error) {
	f, err := p.next()
	if err != nil {
		return nil, err
	}
	if f == nil {
		return nil, p.missing(what + " specification")
	}
	var all []name
	for _, t := range f {
		n := name{text: t.text}
		for _, k := range keywords {
			if t.is(k) {
				n.keyword = k
			}
		}
		switch {
		case !t.quoted && strings.HasPrefix(t.text, "@") && len(t.text) > 1:
			return nil, t.bad(fmt.Sprintf("files of names (%s) are not read here", t.text), "write the names")
		case what == "database" && (t.is("samerole") || t.is("samegroup")):
			return nil, t.bad(t.text+" is not supported: replproxy does not know who is a member of which role",
				"name the databases")
		case what == "role" && !t.quoted && strings.HasPrefix(t.text, "+"):
			return nil, t.bad(fmt.Sprintf("%s is not supported: replproxy does not know who is a member of which role",
				t.text), "name the roles")
		case strings.HasPrefix(t.text, "/"): // quoted or not, as in PostgreSQL 16
			var problem string
			if n.pattern, problem = compile(t.text[1:]); problem != "" {
				return nil, t.bad(fmt.Sprintf("invalid regular expression %q: %s", t.text[1:], problem), "")
			}
		}
		all = append(all, n)
	}
	return all, nil
}

func (p *parser) method() (Method, *Error) {
	f, err := p.next()
	switch {
	case err != nil:
		return 0, err
	case f == nil:
		return 0, p.missing("authentication method")
	case len(f) > 1:
		return 0, multiple(f, "authentication type")
	}
	const primary = "this method is the primary's: write relay, and the primary's pg_hba.conf decides"
	switch t := f[0]; t.text {
	case "trust":
		return Trust, nil
	case "reject":
		return Reject, nil
	case "relay":
		return Relay, nil
	case "scram-sha-256":
		return SCRAM, nil
	case "cert":
		return 0, t.bad(`authentication method "cert" is not supported here`,
			"write relay clientcert=verify-full: the primary asks beside the certificate")
	case "md5", "password", "gss", "sspi", "ident", "peer", "ldap", "pam", "bsd", "radius", "oauth":
		return 0, t.bad(fmt.Sprintf("authentication method %q is not supported here", t.text), primary)
	default:
		return 0, t.bad(fmt.Sprintf("invalid authentication method %q", t.text),
			"it is one of relay, scram-sha-256, trust, reject")
	}
}

// options reads the options behind the method.
func (p *parser) options(r *rule) *Error {
	for {
		f, err := p.next()
		if err != nil || f == nil {
			return err
		}
		for _, t := range f {
			if err := r.option(t); err != nil {
				return err
			}
		}
	}
}

func (r *rule) option(t token) *Error {
	key, value, ok := strings.Cut(t.text, "=")
	if !ok {
		return t.bad("authentication option not in name=value format: "+t.text, "")
	}
	if r.kind != hostSSL && (key == "clientcert" || key == "clientname") {
		return t.bad(key+` can only be configured for "hostssl" rows`, "")
	}
	switch {
	case key == "clientcert" && (value == "verify-ca" || value == "verify-full"):
		r.clientCert = value
	case key == "clientname" && r.clientCert != "verify-full":
		return t.bad("clientname does nothing without clientcert=verify-full before it", "")
	case key == "clientname" && (value == "CN" || value == "DN"):
		r.clientName = strings.ToLower(value)
	case key == "clientcert":
		return t.bad(fmt.Sprintf("invalid value for clientcert: %q", value), "it is verify-ca or verify-full")
	case key == "clientname":
		return t.bad(fmt.Sprintf("invalid value for clientname: %q", value), "it is CN or DN")
	default:
		return t.bad(fmt.Sprintf("unrecognized authentication option name: %q", key),
			"replproxy knows clientcert and clientname")
	}
	return nil
}

func (t token) bad(message, hint string) *Error {
	return &Error{Offset: t.at, Message: message, Hint: hint}
}

func (p *parser) missing(what string) *Error {
	return &Error{Offset: p.end, Message: "end-of-line before " + what}
}

func multiple(f field, what string) *Error {
	return f[1].bad("multiple values specified for "+what, "")
}
