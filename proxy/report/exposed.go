package report

import (
	"fmt"

	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/tcpopt"
	"github.com/replproxy/replproxy/proxy/config"
)

// ExposureWarnings returns the warnings about secrets that others may read without a file: in the arguments of the
// process, or on the way to the http port. profiles are served when true.
func ExposureWarnings(c *config.Config, profiles bool) (all []string) {
	if c.FromFlag("upstream.conninfo") && upstream.HasPassword(c.Upstream.Conninfo) {
		all = append(all, "a password is in the arguments of this process, which every user of this machine may read: "+
			"use passfile, PGPASSFILE or a service file")
	}
	if c.HTTP == "" || c.HTTPCertFile != "" || tcpopt.LoopbackOnly([]string{c.HTTP}) {
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
