package demo

import "syscall"

// dieWithParent has the kernel end the child when we are gone, however that happened.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
