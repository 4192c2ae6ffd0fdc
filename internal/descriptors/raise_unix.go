//go:build unix

package descriptors

import (
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// Raise makes the soft limit of open files the hard one and returns the budget. On an error the budget is what is in
// force.
func Raise() (Budget, error) {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return Budget{}, fmt.Errorf("read the limit of open files: %w", err)
	}
	var err error
	if l.Cur < l.Max {
		raised := unix.Rlimit{Cur: l.Max, Max: l.Max}
		if err = unix.Setrlimit(unix.RLIMIT_NOFILE, &raised); err == nil {
			l = raised
		} else {
			err = fmt.Errorf("raise the limit of open files from %d to %d: %w", l.Cur, l.Max, err)
		}
	}
	if l.Cur > math.MaxInt32 { // unlimited
		return Budget{}, err
	}
	return Budget{Limit: int(l.Cur)}, err
}
