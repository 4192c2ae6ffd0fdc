//go:build !linux

package limits

// mapNow has no flag here: pages come in one by one.
const mapNow = 0
