// Package operators tells random stories of what operators do to a cluster under load, against real servers.
//
//	seed ──► moves: promote, revert, wipe, rename, drop slots, change the rule, upgrade, stop … ──► questions
//
// Four servers, of which one is the primary, and two proxies under one rule. Every move is something that a page of
// docs says how to do, or an accident that the cluster must stand. A move ends with the cluster whole again: nobody
// takes the next risk before the last one is over, as the rule covers one at a time.
//
// Asked after each move: do commits go on, through both proxies? Is what the proxies and the primary keep on disk
// bounded? And after each story: is every acknowledged row there, and do all servers have the same?
//
// An ordinary run tells one short story with a fixed seed. REPLPROXY_SOAK tells stories for that long, each with the
// next seed. A new move is a function in moves_test.go and a line in the list there.
package operators
