package preflight

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// gateways reads the routers of this machine from the kernel's tables, each once. What cannot be read is none.
func gateways() []netip.Addr {
	v4, _ := os.ReadFile("/proc/net/route")
	v6, _ := os.ReadFile("/proc/net/ipv6_route")
	return append(gateways4(string(v4)), gateways6(string(v6))...)
}

// gateways4 reads the third column, an address in the machine's byte order, of lines as in
//
//	eth0  00000000  0100000A  0003 …
func gateways4(table string) []netip.Addr {
	return column(table, 2, 4, func(b []byte) (netip.Addr, bool) {
		var native [4]byte
		binary.NativeEndian.PutUint32(native[:], binary.BigEndian.Uint32(b))
		return netip.AddrFromSlice(native[:])
	})
}

// gateways6 reads the fifth column, an address in network byte order.
func gateways6(table string) []netip.Addr { return column(table, 4, 16, netip.AddrFromSlice) }

// column collects the addresses, size bytes in hexadecimal, of one column; the unspecified address is none.
func column(table string, at, size int, read func([]byte) (netip.Addr, bool)) (all []netip.Addr) {
	for _, line := range strings.Split(table, "\n") {
		fields := strings.Fields(line)
		if len(fields) <= at {
			continue
		}
		b, err := hex.DecodeString(fields[at])
		if err != nil || len(b) != size {
			continue
		}
		if a, ok := read(b); ok && !a.IsUnspecified() && !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	return all
}
