//go:build !linux

package preflight

import "net/netip"

// gateways returns none: they are not looked up on this system.
func gateways() []netip.Addr { return nil }
