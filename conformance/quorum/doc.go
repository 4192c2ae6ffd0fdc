// Package quorum tests the reports to a primary under a rule, against real servers.
//
//	commit on the primary ── waits for "proxy" ──► rule ──► voters: standbys of one proxy, of several, stores
//
// A commit waits as long as the rule is not covered and returns when it is, at each level of synchronous_commit, with
// one proxy and with clusters. Which of several sessions of a name counts is compared with PostgreSQL's own choice.
package quorum
