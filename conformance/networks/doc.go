// Package networks tells random stories of bad networks, against real servers under load.
//
//	seed ──► one proxy, two that pull, or one through the other ──► shocks, each on one leg ──► questions
//
// A leg is a forwarder of our own (scene.Leg) between two of: primary, proxies, standbys, applications. It delays,
// throttles, stalls, resets, forgets connections without a word as a NAT does, or is a black hole for a while.
//
// Asked after each shock: do commits go on, through every proxy, within the bound that docs/networks.md names? Is every
// warning gone once all is well, and was none about settings that are right? And after each story, when the primary is
// killed under load: does the furthest standby have every row that was acknowledged?
//
// An ordinary run tells three short stories, one of each mode. REPLPROXY_SOAK tells stories for that long, each with
// the next seed. A new shock is a line of the list in shocks_test.go, with its bound.
package networks
