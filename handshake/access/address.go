package access

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// address is the fourth column: a keyword, or an address and the bits of it that count.
type address struct {
	keyword    string // all, samehost or samenet; "" for none
	addr, mask netip.Addr
}

// address reads one or two fields.
func (p *parser) address() (address, *Error) {
	f, err := p.next()
	switch {
	case err != nil:
		return address{}, err
	case f == nil:
		return address{}, p.missing("IP address specification")
	case len(f) > 1:
		return address{}, multiple(f, "host address")
	}
	t := f[0]
	for _, k := range []string{"all", "samehost", "samenet"} {
		if t.is(k) {
			return address{keyword: k}, nil
		}
	}
	text, bits, cidr := strings.Cut(t.text, "/")
	addr, bad := netip.ParseAddr(text)
	switch {
	case bad != nil && cidr:
		return address{}, t.bad(fmt.Sprintf("invalid IP address %q", text), "")
	case bad != nil:
		return address{}, t.bad(fmt.Sprintf("host names (%q) are not looked up here", t.text),
			"write the address, as in 10.1.2.3/32")
	case addr.Zone() != "":
		return address{}, t.bad(fmt.Sprintf("an address with a zone (%q) is not supported", t.text), "")
	case cidr:
		n, bad := strconv.Atoi(bits)
		prefix, bad2 := addr.Prefix(n)
		if bad != nil || bad2 != nil || bits[0] == '+' || bits[0] == '-' {
			return address{}, t.bad(fmt.Sprintf("invalid CIDR mask in address %q", t.text), "")
		}
		return address{addr: prefix.Addr(), mask: maskOf(prefix)}, nil
	}
	if f, err = p.next(); err != nil {
		return address{}, err
	}
	const hint = "specify an address range in CIDR notation, as in 10.1.2.3/32, or provide a separate netmask"
	switch {
	case f == nil:
		return address{}, &Error{Offset: p.end, Message: "end-of-line before netmask specification", Hint: hint}
	case len(f) > 1:
		return address{}, multiple(f, "netmask")
	}
	mask, bad := netip.ParseAddr(f[0].text)
	switch {
	case bad != nil:
		return address{}, f[0].bad(fmt.Sprintf("invalid IP mask %q", f[0].text), hint)
	case mask.Is4() != addr.Is4():
		return address{}, f[0].bad("IP address and mask do not match", "")
	}
	return address{addr: addr, mask: mask}, nil
}

// maskOf returns a prefix's length as an address with ones.
func maskOf(p netip.Prefix) netip.Addr {
	b := make([]byte, p.Addr().BitLen()/8)
	for i := range p.Bits() {
		b[i/8] |= 0x80 >> (i % 8)
	}
	mask, _ := netip.AddrFromSlice(b)
	return mask
}

// matches compares a client's address. networks is asked for keywords that need it.
func (a address) matches(client netip.Addr, networks func() []netip.Prefix) bool {
	client = client.WithZone("")
	switch a.keyword {
	case "all":
		return true
	case "samehost", "samenet":
		for _, p := range networks() {
			if p.Addr() == client || a.keyword == "samenet" && p.Contains(client) {
				return true
			}
		}
		return false
	}
	if client.Is4() != a.addr.Is4() {
		return false
	}
	c, want, mask := client.AsSlice(), a.addr.AsSlice(), a.mask.AsSlice()
	for i := range c {
		if (c[i]^want[i])&mask[i] != 0 {
			return false
		}
	}
	return true
}
