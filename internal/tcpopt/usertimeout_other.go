//go:build !linux

package tcpopt

import (
	"errors"
	"syscall"
	"time"
)

// HaveUserTimeout reports whether the system knows UserTimeout.
const HaveUserTimeout = false

func setUserTimeout(syscall.RawConn, time.Duration) error { return errors.ErrUnsupported }
