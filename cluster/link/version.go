package link

import (
	"strconv"
	"strings"
)

// The message versions that this proxy speaks (ruling R39). Each link speaks the highest that both ends do, by ALPN.
//
//	1  release v0.1.0: everything is exactly as it says, and a byte more ends the connection
//	2  what a reader does not know is skipped: types of frames, kinds of items, what follows the known fields of a
//	   frame or of an item
//
// What a version adds to an item comes after all that the version before has, so a sender encodes it once.
const (
	Oldest = 1
	Newest = 2
)

const protocolPrefix = "replproxy-link/"

// Protocol returns the ALPN name of links of a message version; a Listener may serve others beside them.
func Protocol(version int) string { return protocolPrefix + strconv.Itoa(version) }

// protocols returns the ALPN names of all versions up to newest, best first.
func protocols(newest int) (names []string) {
	for v := newest; v >= Oldest; v-- {
		names = append(names, Protocol(v))
	}
	return names
}

// versionOf returns the version of a protocol that was agreed on.
func versionOf(protocol string) int {
	v, err := strconv.Atoi(strings.TrimPrefix(protocol, protocolPrefix))
	if err != nil {
		return 0 // never: both ends named only ours
	}
	return v
}

// lenient reports whether what is not known is skipped.
func lenient(version int) bool { return version >= 2 }
