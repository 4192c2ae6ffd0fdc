//go:build !linux

package vfs

// Life implements [FS]: it is not known here.
func (OS) Life(string) string { return "" }
