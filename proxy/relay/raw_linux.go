package relay

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// rawRead calls read(2) without telling Go's scheduler: on a non-blocking socket it does not block, and to give the
// processor away and get it back costs more than the call.
func rawRead(fd int, b []byte) (int, error) {
	n, _, e := unix.RawSyscall(unix.SYS_READ, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return rawResult(n, e)
}

// rawWrite calls write(2), in the same way.
func rawWrite(fd int, b []byte) (int, error) {
	n, _, e := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return rawResult(n, e)
}

// rawEpollWait calls epoll_wait(2), in the same way. Unlike the others it blocks, for milliseconds at most: whoever
// calls it keeps the thread and its processor for so long, unless a signal comes (EINTR).
func rawEpollWait(ep int, events []unix.EpollEvent, milliseconds int) (int, error) {
	n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(ep),
		uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), uintptr(milliseconds), 0, 0)
	if e != 0 {
		return 0, e // no events, not the -1 of the call
	}
	return int(n), nil
}

func rawResult(n uintptr, e unix.Errno) (int, error) {
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}
