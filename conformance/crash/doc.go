// Package crash tests ends and damage of proxies, servers and disks, and what standbys have afterwards.
//
//	load ──► primary ──► replproxy ✗ kill -9, SIGTERM, full disk, damaged file ──► standbys: all rows, equal bytes
//
// Clean stops of primary and proxy in each order belong here as well, and chaos, which does all of it at random.
package crash
