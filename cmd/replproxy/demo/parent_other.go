//go:build !linux

package demo

import "syscall"

// dieWithParent can do nothing here: children outlive a killed demo.
func dieWithParent(*syscall.SysProcAttr) {}
