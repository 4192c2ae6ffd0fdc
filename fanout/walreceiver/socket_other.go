//go:build !linux

package walreceiver

// socket knows nothing: the reporter writes all messages.
type socket struct{}

func (*socket) open(any) {}

func (*socket) writable() bool { return false }
