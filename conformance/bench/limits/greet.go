package limits

import (
	"encoding/binary"
	"errors"
	"io"
	"net"

	"github.com/replproxy/replproxy/internal/wire"
)

// Codes of startup packets that ask for encryption, which there is not.
const (
	askSSL = 80877103
	askGSS = 80877104
)

// greet lets a client in, whoever it is.
func greet(c net.Conn, r io.Reader) error {
	for {
		var head [8]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return err
		}
		size, code := binary.BigEndian.Uint32(head[:]), binary.BigEndian.Uint32(head[4:])
		if code == askSSL || code == askGSS {
			if _, err := c.Write([]byte{'N'}); err != nil {
				return err
			}
			continue
		}
		if size < 8 || size > 10000 {
			return errors.New("a startup packet of no size")
		}
		if _, err := io.CopyN(io.Discard, r, int64(size)-8); err != nil {
			return err
		}
		_, err := c.Write(ready(wire.AppendFrame(nil, 'R', make([]byte, 4))))
		return err
	}
}

func ready(b []byte) []byte { return wire.AppendFrame(b, 'Z', []byte{'I'}) }

// identity answers IDENTIFY_SYSTEM, for a client that wants four columns and looks at none.
func identity() []byte {
	columns, row := []byte{0, 4}, []byte{0, 4}
	for _, v := range [][2]string{{"systemid", "1"}, {"timeline", "1"}, {"xlogpos", "0/0"}, {"dbname", ""}} {
		columns = append(append(columns, v[0]...), 0)
		columns = append(columns, 0, 0, 0, 0, 0, 0, 0, 0, 0, 25, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0)
		row = append(binary.BigEndian.AppendUint32(row, uint32(len(v[1]))), v[1]...)
	}
	b := wire.AppendFrame(wire.AppendFrame(nil, 'T', columns), 'D', row)
	return ready(wire.AppendFrame(b, 'C', []byte("IDENTIFY_SYSTEM\x00")))
}
