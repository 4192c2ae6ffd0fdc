package handshake

import "encoding/binary"

// packet frames a startup-phase packet.
func packet(code uint32, body string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
	return append(binary.BigEndian.AppendUint32(b, code), body...)
}

// startup frames a StartupMessage of names and values.
func startup(version uint32, words ...string) []byte {
	var body []byte
	for _, w := range words {
		body = append(append(body, w...), 0)
	}
	return packet(version, string(append(body, 0)))
}

const (
	v30 = 3 << 16
	v32 = 3<<16 | 2
)
