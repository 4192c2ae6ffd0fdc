package config

import (
	"errors"

	"github.com/replproxy/replproxy/handshake/access"
)

// accessProblems returns the faults of the rules, each with its place.
func (c *Config) accessProblems() Errors {
	errs := c.rulesProblems("access", 0, c.Access)
	first := 0 // of the listener's rules among the texts of the key
	for _, l := range c.ListenAccess {
		errs = append(errs, c.rulesProblems(listenAccess, first, l.Rules)...)
		first += max(1, len(l.Rules))
	}
	return errs
}

// rulesProblems judges one list, which begins at item first of its key.
func (c *Config) rulesProblems(key string, first int, lines []string) (errs Errors) {
	rules, err := access.Parse(lines)
	var bad access.Errors
	if errors.As(err, &bad) {
		for _, e := range bad {
			errs = append(errs, c.atItem(key, first+e.Rule-1, e.Offset, e.Text()))
		}
		return errs
	}
	needs := func(rule int, unmet bool, message string) {
		if rule > 0 && unmet {
			errs = append(errs, c.atItem(key, first+rule-1, 0, message))
		}
	}
	needs(rules.FirstWith(access.SCRAM), c.Auth.Method != "scram",
		"scram-sha-256 needs auth.method: scram; with relay write relay, and the primary verifies")
	needs(rules.FirstTLS(), c.TLS.Mode == "off", "hostssl record cannot match because tls.mode is off")
	needs(rules.FirstCertificate(), c.TLS.ClientCAFile == "",
		"clientcert needs tls.client_ca_file, which says whose certificates are good")
	return errs
}

// AccessSet returns the rules as they are decided by.
func (c *Config) AccessSet() access.Set {
	policy := func(lines []string) access.Policy {
		rules, _ := access.Parse(lines) // which validate has done before
		return access.Policy{Rules: rules, SCRAM: c.Auth.Method == "scram"}
	}
	s := access.Set{Default: policy(c.Access), Listeners: map[string]access.Policy{}}
	for _, l := range c.ListenAccess {
		s.Listeners[l.Address] = policy(l.Rules)
	}
	return s
}
