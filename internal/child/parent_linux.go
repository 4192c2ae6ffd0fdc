package child

import "syscall"

// endWithParent has the kernel end the child when its parent is gone, however that happened.
func endWithParent(attr *syscall.SysProcAttr, end syscall.Signal) { attr.Pdeathsig = end }
