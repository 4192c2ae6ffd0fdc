package access

import "github.com/replproxy/replproxy/grammar/pgerror"

// reason is the cause of a refusal, for the log.
type reason string

func (r reason) Error() string { return string(r) }

// ours tells whose rules these are: by the words, PostgreSQL's, one would look into the primary's pg_hba.conf.
const ours = "These are replproxy's own rules, access in its configuration, not the primary's pg_hba.conf."

// noEntry returns PostgreSQL's refusal where no line of pg_hba.conf matches.
func (f *Facts) noEntry() *pgerror.Error {
	if f.Physical {
		return pgerror.Fatal(pgerror.InvalidAuthorization,
			"no pg_hba.conf entry for replication connection from host \"%s\", user \"%s\", %s",
			f.host(), f.User, f.encryption()).WithHint(ours)
	}
	return pgerror.Fatal(pgerror.InvalidAuthorization,
		"no pg_hba.conf entry for host \"%s\", user \"%s\", database \"%s\", %s",
		f.host(), f.User, f.Database, f.encryption()).WithHint(ours)
}

// rejected returns the refusal of a rule with reject.
func (f *Facts) rejected() *pgerror.Error {
	if f.Physical {
		return pgerror.Fatal(pgerror.InvalidAuthorization,
			"pg_hba.conf rejects replication connection for host \"%s\", user \"%s\", %s",
			f.host(), f.User, f.encryption()).WithHint(ours)
	}
	return pgerror.Fatal(pgerror.InvalidAuthorization,
		"pg_hba.conf rejects connection for host \"%s\", user \"%s\", database \"%s\", %s",
		f.host(), f.User, f.Database, f.encryption()).WithHint(ours)
}

func (f *Facts) host() string {
	if !f.Client.IsValid() {
		return "[local]"
	}
	return f.Client.String()
}

func (f *Facts) encryption() string {
	if f.TLS {
		return "SSL encryption"
	}
	return "no encryption"
}
