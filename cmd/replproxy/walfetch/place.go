package walfetch

import (
	"io"

	"github.com/replproxy/replproxy/internal/durable"
)

// place writes size bytes of r to path, all of them and durable, or leaves path alone. Fewer bytes are an error; more
// are not read.
func place(path string, r io.Reader, size int64) error {
	return durable.WriteFrom(durable.OS{}, path, r, size)
}
