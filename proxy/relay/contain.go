package relay

import (
	"fmt"
	"runtime/debug"
)

// Contained calls f and makes a panic its error: a session's own goroutine ends that session only.
func Contained(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked(p)
		}
	}()
	return f()
}

func panicked(p any) error { return fmt.Errorf("panic in relay: %v\n%s", p, debug.Stack()) }
