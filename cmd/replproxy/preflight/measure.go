package preflight

import (
	"context"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/replproxy/replproxy/handshake/upstream"
)

const (
	// syncTries bounds the fsyncs that are timed: enough for a median, and some 200 ms on a slow disk.
	syncTries = 21
	// syncBytes is the size of a write before each, that of a page of WAL.
	syncBytes = 8 << 10
	// syncPatience bounds all of them: a disk that takes longer has been judged by then.
	syncPatience = 2 * time.Second
)

// SyncTime tells how long fsyncs took in a directory. The zero value: none was timed.
type SyncTime struct{ Median, Longest time.Duration }

// timeSync times fsyncs of a file without a name in dir. Where the file system has no such files it returns zero: a
// file with a name could be left behind.
func timeSync(dir string) (s SyncTime) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return s
	}
	f := os.NewFile(uintptr(fd), dir)
	defer f.Close()
	var times []time.Duration
	page := make([]byte, syncBytes)
	for began := time.Now(); len(times) < syncTries && time.Since(began) < syncPatience; {
		at := time.Now()
		if _, err := f.Write(page); err != nil {
			return s
		}
		if err := f.Sync(); err != nil {
			return s
		}
		times = append(times, time.Since(at))
	}
	slices.Sort(times)
	return SyncTime{Median: times[len(times)/2], Longest: times[len(times)-1]}
}

// Clock compares the server's clock with this machine's.
type Clock struct {
	Known bool
	Ahead time.Duration // of the server's; negative: it is behind
	Slack time.Duration // by so much Ahead may be wrong
}

// readClock asks a server for the time.
func readClock(ctx context.Context, conn *upstream.Session) (c Clock) {
	sent := time.Now()
	row := first(conn.Query(ctx, "SELECT (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::bigint"))
	took := time.Since(sent)
	if len(row) == 0 {
		return c
	}
	micros, err := strconv.ParseInt(row[0], 10, 64)
	if err != nil {
		return c
	}
	return Clock{Known: true, Ahead: time.UnixMicro(micros).Sub(sent.Add(took / 2)), Slack: took / 2}
}
