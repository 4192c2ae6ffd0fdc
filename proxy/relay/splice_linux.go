package relay

import "golang.org/x/sys/unix"

const (
	// pipeSize is the room of a bulk flow's pipe in the kernel: what one splice can take at most.
	pipeSize = 256 << 10
	// smallSplice ends bulk mode: below it a read and a write cost less than two splices.
	smallSplice = 16 << 10
	// sparePipes bounds the idle pipes that a loop keeps.
	sparePipes = 8
)

// pipe is a kernel buffer between two sockets. A nil pipe is empty.
type pipe struct {
	r, w int
	n    int
}

func (p *pipe) bytes() int {
	if p == nil {
		return 0
	}
	return p.n
}

func (p *pipe) close() {
	_ = unix.Close(p.r)
	_ = unix.Close(p.w)
}

// out moves bytes from the pipe to fd.
func (p *pipe) out(fd int) error {
	n, err := unix.Splice(p.r, nil, fd, nil, p.n, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
	if err == nil && n == 0 {
		err = unix.EPIPE
	}
	p.n -= int(max(n, 0))
	return err
}

// bulk gives a flow that fills the buffer a pipe. Without one it goes on through memory.
func (l *loop) bulk(f *flow) {
	if n := len(l.pipes); n > 0 {
		f.pipe, l.pipes = l.pipes[n-1], l.pipes[:n-1]
		return
	}
	var fds [2]int
	if unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK) != nil {
		return
	}
	f.pipe = &pipe{r: fds[0], w: fds[1]}
	_, _ = unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, pipeSize) // or the default size
}

// debulk takes the pipe back. One that still holds bytes of a broken session is closed.
func (l *loop) debulk(f *flow) {
	p := f.pipe
	if p == nil {
		return
	}
	f.pipe = nil
	if p.n > 0 || len(l.pipes) >= sparePipes {
		p.close()
		return
	}
	l.pipes = append(l.pipes, p)
}

// splice moves one pipeful within the kernel; the pipe is empty before. It is called with the flow's
// pipe empty, so EAGAIN speaks of src alone.
func (l *loop) splice(f *flow) {
	n, err := unix.Splice(f.src.fd, nil, f.pipe.w, nil, pipeSize, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
	switch {
	case err == unix.EAGAIN:
		f.readable = false
	case err == unix.EINTR:
	case err != nil:
		l.fail(f, f.src.side, err)
	case n == 0:
		f.eof = true
	default:
		f.count.Add(n)
		f.pipe.n += int(n)
		if l.drain(f) && n < smallSplice {
			l.debulk(f)
		}
	}
}
