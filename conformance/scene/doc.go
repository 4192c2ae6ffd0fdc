// Package scene has the common parts of the scenarios of conformance: a primary with a proxy and its standbys in
// place, load, and the questions that are asked afterwards. It also has small steps such as "wait until the rule can
// be satisfied".
//
//	NewSite, NewQuorumSite, NewSCRAMSite ──► Site ──► StartLoad … Verify
//	ClusterOf ──► several proxies with one quorum
//	StartLedger ──► acknowledged rows, none of which may be lost
//
// Functions and methods that take a testing.TB fail that test at once; they belong on the test's own goroutine.
package scene
