package preflight

import "fmt"

// encryption shows both legs, and warns where SCRAM meets TLS on both of them (R25). A client that binds to the channel
// binds to this proxy's certificate, and the primary expects its own.
func encryption(s Setup, f Facts) Check {
	c := Check{Name: "tls", Level: OK, Text: "in clear to the primary"}
	if f.SSL != nil {
		c.Text = fmt.Sprintf("%s to the primary (%s, %d bits)", f.SSL.Version, f.SSL.Cipher, f.SSL.Bits)
	}
	if s.TLSMode == "" || s.TLSMode == "off" {
		return c
	}
	c.Text += ", mode " + s.TLSMode + " to clients"
	switch {
	case f.SSL == nil && !f.Local:
		c.Level = Warn
		c.Text += ": what clients send over TLS, passwords too, goes on in clear to " + f.Endpoint
		c.Remedy = "Say sslmode=verify-full in upstream.conninfo, or sslmode=require where nothing better can be had."
	case f.SSL == nil || s.AuthMethod != "relay":
	case f.SameCert:
		c.Text += ", with the primary's certificate"
	default:
		c.Level = Warn
		c.Text += ": clients that log in by scram-sha-256 over TLS will be refused " +
			"unless they set channel_binding=disable"
		c.Remedy = "Give this proxy the primary's own certificate and key, or use sslmode=disable in " +
			"upstream.conninfo where the network to the primary is safe: see docs/tls.md."
	}
	return c
}
