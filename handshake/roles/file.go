package roles

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/replproxy/replproxy/handshake/scramauth"
)

// parseFile reads a users file: a line for each role.
//
//	"name" "SCRAM-SHA-256$4096:…" [nologin] [replication] [superuser] [valid_until=2027-01-01T00:00:00Z]
//
// A quote within quotes is doubled; empty lines and lines that begin with # or ; say nothing. Errors name the
// line and never quote it.
func parseFile(content []byte) (map[string]Role, error) {
	all := map[string]Role{}
	for i, line := range strings.Split(string(content), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		r, err := parseLine(line)
		if err == nil && all[r.Name].Name != "" {
			err = fmt.Errorf("role %q is there twice", r.Name)
		}
		if err == nil && len(all) == maxRoles {
			err = fmt.Errorf("more than %d roles", maxRoles)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		all[r.Name] = r
	}
	return all, nil
}

func parseLine(line string) (r Role, err error) {
	r = Role{Login: true}
	if r.Name, line, err = quoted(line); err == nil && (r.Name == "" || len(r.Name) > maxName) {
		err = fmt.Errorf("a name has 1 to %d bytes", maxName)
	}
	if err != nil {
		return r, err
	}
	secret, line, err := quoted(line)
	if err != nil {
		return r, err
	}
	if _, err := scramauth.ParseVerifier(secret); err != nil {
		return r, fmt.Errorf("the secret of role %q is no SCRAM-SHA-256 verifier; "+
			"copy rolpassword of pg_authid", r.Name)
	}
	r.Secret = Secret(secret)
	for _, word := range strings.Fields(line) {
		until, ok := strings.CutPrefix(word, "valid_until=")
		switch {
		case word == "nologin":
			r.Login = false
		case word == "replication":
			r.Replication = true
		case word == "superuser":
			r.Superuser = true
		case ok:
			if r.ValidUntil, err = time.Parse(time.RFC3339, until); err != nil || r.ValidUntil.IsZero() {
				return r, fmt.Errorf("valid_until of role %q is no time, as in 2027-01-01T00:00:00Z", r.Name)
			}
		default:
			return r, fmt.Errorf("role %q has a word that is none of nologin, replication, superuser, valid_until=…",
				r.Name)
		}
	}
	return r, nil
}

var errQuotes = errors.New(`expected "name" "SCRAM-SHA-256$…", each in double quotes`)

// quoted reads a text in double quotes, and returns the rest of the line behind it. errQuotes: there is none, or its
// end is missing.
func quoted(line string) (text, rest string, err error) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] != '"' {
		return "", "", errQuotes
	}
	var b strings.Builder
	for i := 1; i < len(line); i++ {
		switch {
		case line[i] != '"':
			b.WriteByte(line[i])
		case i+1 < len(line) && line[i+1] == '"':
			b.WriteByte('"')
			i++
		default:
			return b.String(), line[i+1:], nil
		}
	}
	return "", "", errQuotes
}
