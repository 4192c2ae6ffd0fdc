package hangup

import "golang.org/x/sys/unix"

const supported = true

// look returns the news of a socket's peer, 0 for one that is there. secure: TLS, whose closing alert is no unread
// byte. ahead: bytes were read that nobody has taken yet. It does not block.
func look(fd int, secure, ahead bool) News {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	if n, err := unix.Poll(p, 0); err != nil || n == 0 {
		return 0
	}
	if p[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0 {
		return Gone
	}
	if p[0].Revents&unix.POLLRDHUP == 0 {
		return 0
	}
	if ahead {
		return Ended
	}
	var unread [maxAlert + 1]byte
	n, _, err := unix.Recvfrom(fd, unread[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	if err == nil && n > 0 && !(secure && isAlert(unread[:n])) {
		return Ended
	}
	return Closed
}
