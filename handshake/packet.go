package handshake

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The request codes of the startup phase (facts A1).
const (
	codeCancel = 1234<<16 | 5678
	codeSSL    = 1234<<16 | 5679
	codeGSSENC = 1234<<16 | 5680
)

const (
	// lengthSize is the length word; it counts itself.
	lengthSize = 4
	// minBody is the request code alone.
	minBody = 4
	// maxBody is PostgreSQL's own limit behind the length word: enough for any parameters, little
	// for a client nobody knows yet.
	maxBody = 10000
	// MaxPacket is the largest startup packet, its length word included.
	MaxPacket = lengthSize + maxBody
	// minCancelKey and maxCancelKey bound a cancel key: 4 bytes in protocol 3.0, up to 256 in 3.2.
	minCancelKey, maxCancelKey = 4, 256
	// tlsHandshake is the first byte of a TLS record: a client that starts TLS without asking.
	tlsHandshake = 0x16

	protocolOptionPrefix = "_pq_."
)

// What ends a connection without a reply, as PostgreSQL does it.
var (
	// ErrNoData: the peer closed before its first byte, or instead of going on after an answer about encryption, as
	// health checks do.
	ErrNoData = errors.New("connection closed without a startup packet")
	// ErrIncomplete: the peer closed within a packet.
	ErrIncomplete = errors.New("incomplete startup packet")
	// ErrLength: the length word cannot be one of a startup packet.
	ErrLength = errors.New("invalid length of startup packet")
	// ErrDirectTLS: the peer began TLS without SSLRequest, and there is none here.
	ErrDirectTLS = errors.New("direct TLS connections are not supported")
	// ErrNoALPN: the peer began TLS without SSLRequest and without naming the protocol.
	ErrNoALPN = errors.New("received direct SSL connection request without ALPN protocol negotiation extension")
	// ErrTimeout: authentication_timeout passed.
	ErrTimeout = errors.New("startup phase timed out")
)

// bodyLength returns the length of a body by the four bytes of a length word, which count themselves. maxBody bounds
// it: [ErrLength]. [ErrDirectTLS]: it is the beginning of TLS.
func bodyLength(word []byte) (int, error) {
	if word[0] == tlsHandshake {
		return 0, ErrDirectTLS
	}
	n := int64(binary.BigEndian.Uint32(word)) - lengthSize
	if n < minBody || n > maxBody {
		return 0, fmt.Errorf("%w: %d bytes", ErrLength, n+lengthSize)
	}
	return int(n), nil
}

// splitParams cuts the body of a StartupMessage, after the version, into names and values. complete is false unless
// reading ended exactly at the last byte. The parameters before are returned all the same, because PostgreSQL looks at
// values before it complains about the layout. As there, a last byte that should be the terminator may also be a name
// of one byte (tried on 15).
func splitParams(b []byte) (params Params, complete bool) {
	pos := 0
	for pos < len(b) && b[pos] != 0 {
		name, next := cstring(b, pos)
		if next >= len(b) {
			break
		}
		var value string
		value, pos = cstring(b, next)
		params = append(params, Param{name, value})
	}
	return params, pos == len(b)-1
}

// cstring reads up to a NUL, or up to the end where the server's zeroed extra byte would be.
func cstring(b []byte, pos int) (s string, next int) {
	end := pos
	for end < len(b) && b[end] != 0 {
		end++
	}
	return string(b[pos:end]), end + 1
}
