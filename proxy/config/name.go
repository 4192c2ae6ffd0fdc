package config

import "strings"

// maxIdentifier is NAMEDATALEN - 1: longer names are cut by the server.
const maxIdentifier = 63

// slotPrefix begins the name of the slot on the primary.
const slotPrefix = "replproxy_"

// DefaultSlot returns replproxy_<name> as a legal slot name: lower case letters, digits, underscores, at most 63 bytes
// (facts G).
func DefaultSlot(name string) string {
	return cut(slotPrefix+plain(name), maxIdentifier)
}

// defaultName makes a plain identifier of the host name, short enough for its slot's name. Without a host name, or
// after err, it is a fixed one.
func defaultName(host string, err error) string {
	if err != nil || host == "" {
		return "replproxy"
	}
	name := plain(host)
	if '0' <= name[0] && name[0] <= '9' {
		name = "proxy_" + name
	}
	return cut(name, maxIdentifier-len(slotPrefix))
}

// plain lower-cases and replaces whatever is not a letter, a digit or an underscore.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '_':
			return r
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '_'
	}, s)
}

func cut(s string, n int) string { return s[:min(len(s), n)] }
