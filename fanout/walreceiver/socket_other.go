//go:build !linux

package walreceiver

// socket knows nothing and takes nothing: the reporter writes all messages.
type socket struct{}

func (*socket) open(any) {}

func (*socket) write([]byte) (int, error) { return 0, nil }

func (*socket) writable() bool { return false }
