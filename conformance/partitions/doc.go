// Package partitions tests clusters whose hosts are cut from one another.
//
//	host a: primary, proxy ──✗──► host b: proxy, standby ──✗──► host c …    each a network namespace
//
// Links are cut in one direction or both while accounts are moved under a rule, and a standby is promoted by the
// recipe of docs/failover.md. No acknowledged transfer may be lost, and none may wait for ever.
package partitions
