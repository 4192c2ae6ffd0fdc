//go:build !linux

package upstream

import (
	"errors"
	"syscall"
	"time"
)

const haveUserTimeout = false

func setUserTimeout(syscall.RawConn, time.Duration) error { return errors.ErrUnsupported }
