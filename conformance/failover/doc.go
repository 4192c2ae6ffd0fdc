// Package failover tests promotions against real servers.
//
//	primary dies ──► a standby is promoted ──► the proxy follows, standbys stay connected
//
// Timelines, histories and forks; the recipe of docs/failover.md word for word; members of a cluster that stream from
// each other; clusters whose members are of two versions.
package failover
