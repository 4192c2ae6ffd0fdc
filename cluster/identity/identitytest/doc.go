// Package identitytest makes members of a cluster for tests, each with a key of its own, and lets what they
// log appear with the test.
//
//	Node(t, "proxy_a") ─┐
//	Node(t, "proxy_b") ─┴─► Members(t, a, b)      Logger(t) ──► t.Log, until the test ends
package identitytest
