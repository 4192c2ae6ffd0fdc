//go:build !linux

package walsender

import (
	"net"

	"github.com/replproxy/replproxy/fanout/walstore"
)

// fileWriter is never usable here: bytes are read and written.
type fileWriter struct{}

func (*fileWriter) init(net.Conn)                      {}
func (*fileWriter) begin([]byte, *walstore.Chunk) bool { return false }
func (*fileWriter) finished() bool                     { return true }
func (*fileWriter) started() bool                      { return false }
func (*fileWriter) write() error                       { return nil }
