package keyfile

import (
	"io/fs"
	"os"
	"time"
)

// Same reports whether a file looks as it did before: content, mode and owner. The owner counts, since a file that
// could not be used for its owner can be used once chown has run. nil is a file that is not there.
func Same(was, now fs.FileInfo) bool {
	if was == nil || now == nil {
		return was == nil && now == nil
	}
	return os.SameFile(was, now) && lookOf(was) == lookOf(now)
}

// look tells one state of a file from another.
type look struct {
	size     int64
	mode     fs.FileMode
	modified time.Time
	owner    int
}

func lookOf(info fs.FileInfo) look {
	return look{info.Size(), info.Mode(), info.ModTime().Round(0).UTC(), ownerOf(info)}
}
