package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/replproxy/replproxy/cmd/replproxy/preflight"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/keyfile"
	"github.com/replproxy/replproxy/proxy/config"
)

// refuseOpenSecrets refuses files with secrets that others may read: the configuration itself when it has a password,
// and the password file that would be used. file is the configuration's, "" for none. Files of keys, tokens and users
// are refused by who reads them.
func refuseOpenSecrets(c *config.Config, up *upstream.Config, file string) error {
	if file != "" && !c.FromFlag("upstream.conninfo") && upstream.HasPassword(c.Upstream.Conninfo) {
		if err := keyfile.Closed(file); err != nil {
			return usageError{fmt.Errorf("unusable configuration\n%w", c.At("upstream.conninfo", fmt.Errorf(
				"has a password, and the configuration file cannot be used: %w; or move the password to a passfile",
				err)))}
		}
	}
	if passfile := up.Passfile(); passfile != "" {
		if _, err := keyfile.ReadPasswords(passfile); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return usageError{fmt.Errorf("unusable configuration\n%w", c.At("upstream.conninfo", err))}
		}
	}
	return nil
}

// exposureWarnings are about secrets that others may read without a file: in the arguments of the process, or on the
// way to the http port. profiles are served when true.
func exposureWarnings(c *config.Config, profiles bool) (all []string) {
	if c.FromFlag("upstream.conninfo") && upstream.HasPassword(c.Upstream.Conninfo) {
		all = append(all, "a password is in the arguments of this process, which every user of this machine may read: "+
			"use passfile, PGPASSFILE or a service file")
	}
	if c.HTTP == "" || c.HTTPCertFile != "" || loopbackOnly([]string{c.HTTP}) {
		return all
	}
	if c.HTTPTokenFile != "" {
		all = append(all, fmt.Sprintf("the token of http_token_file goes over the network in clear, since %s is no "+
			"loopback address: set http_cert_file and http_key_file", c.HTTP))
	}
	if profiles {
		all = append(all, fmt.Sprintf("profiles of this process, which may show data, go over the network in clear, "+
			"since %s is no loopback address: set http_cert_file and http_key_file, or leave out --pprof", c.HTTP))
	}
	return all
}

// exposureChecks are the same as lines of check.
func exposureChecks(c *config.Config) (all []preflight.Check) {
	for _, w := range exposureWarnings(c, false) {
		all = append(all, preflight.Check{Name: "secrets", Level: preflight.Warn, Text: w, Remedy: "See SECURITY.md."})
	}
	return all
}
