//go:build !linux

package child

import "syscall"

// endWithParent can do nothing here: children outlive a parent that is killed.
func endWithParent(*syscall.SysProcAttr, syscall.Signal) {}
