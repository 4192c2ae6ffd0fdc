//go:build !linux

package hangup

const supported = false

func look(int, bool, bool) News { return 0 }
