package daemon

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/replproxy/replproxy/cmd/replproxy/preflight"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/keyfile"
	"github.com/replproxy/replproxy/proxy/config"
	"github.com/replproxy/replproxy/proxy/report"
)

// refuseOpenSecrets returns an error for a secret that openSecret finds. file is the configuration's, "" for none.
func refuseOpenSecrets(c *config.Config, up *upstream.Config, file string) error {
	if remedy, err := openSecret(c, up, file); err != nil {
		return UnusableError{fmt.Errorf("unusable configuration\n%w", c.At("upstream.conninfo",
			fmt.Errorf("%w; HINT: %s", err, remedy)))}
	}
	return nil
}

// openSecret finds a file with secrets that others may read: the configuration itself when it has a password, or the
// password file that would be used. Files of keys, tokens and users are refused by who reads them.
func openSecret(c *config.Config, up *upstream.Config, file string) (remedy string, err error) {
	if file != "" && !c.FromFlag("upstream.conninfo") && upstream.HasPassword(c.Upstream.Conninfo) {
		if err := keyfile.Closed(file); err != nil {
			return fmt.Sprintf("chmod 0600 %s, or move the password to a passfile.", file),
				fmt.Errorf("has a password, and the configuration file cannot be used: %w", err)
		}
	}
	if passfile := up.Passfile(); passfile != "" {
		if _, err := keyfile.ReadPasswords(passfile); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Sprintf("chmod 0600 %s; it has to be a file of the user that replproxy runs as.", passfile), err
		}
	}
	return "", nil
}

// exposureChecks returns the same as lines of check, and what run refuses because of a secret, or because user, by its
// id, is root.
func exposureChecks(c *config.Config, up *upstream.Config, file string, user int) (all []preflight.Check) {
	if remedy, err := openSecret(c, up, file); err != nil {
		text := "upstream.conninfo: " + err.Error()
		all = append(all, preflight.Check{Name: "secrets", Level: preflight.Fail, Text: text, Remedy: remedy})
	}
	if user == 0 {
		all = append(all, preflight.Check{Name: "user", Level: preflight.Warn,
			Text: "root: run refuses it without --allow-root",
			Remedy: "Start run, and check, as an ordinary user, as packaging/replproxy.service does; --allow-root is " +
				"for where nothing else can be, as in a container."})
	}
	for _, w := range report.ExposureWarnings(c, false) {
		all = append(all, preflight.Check{Name: "secrets", Level: preflight.Warn, Text: w, Remedy: "See SECURITY.md."})
	}
	return all
}
