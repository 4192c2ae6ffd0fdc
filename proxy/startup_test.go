package proxy_test

import "encoding/binary"

const v30 = 3 << 16

// packet frames a startup-phase packet.
func packet(code uint32, body string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
	return append(binary.BigEndian.AppendUint32(b, code), body...)
}

// startup frames a StartupMessage of names and values.
func startup(version uint32, words ...string) []byte {
	body := ""
	for _, w := range words {
		body += w + "\x00"
	}
	return packet(version, body+"\x00")
}
