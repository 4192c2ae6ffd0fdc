//go:build !linux

package relay

import "context"

// loop exists on Linux only.
type loop struct{}

func newLoop() (*loop, error) { return nil, nil }

func (*loop) run() error { return nil }
func (*loop) stop()      {}
func (*loop) close()     {}

func relayInLoop(context.Context, *loop, *Options) (bool, error) { return false, nil }
