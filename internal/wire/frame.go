package wire

import "encoding/binary"

// AppendHeader appends the header of a frame whose body has size bytes.
func AppendHeader(b []byte, typ byte, size int) []byte {
	b = append(b, typ)
	return binary.BigEndian.AppendUint32(b, uint32(size+4))
}

// AppendFrame appends a whole frame.
func AppendFrame(b []byte, typ byte, body []byte) []byte {
	return append(AppendHeader(b, typ, len(body)), body...)
}
