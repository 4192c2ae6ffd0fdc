// Package child runs a program beside this process: whose it is, where its output goes, and when it has ended.
//
//	Unprivileged ──► Account.Attributes ──► exec.Cmd ──Start──► Process ──► Signal, Wait, Stop
//
// The demo and the tests start PostgreSQL and replproxy by it. No child outlives this process, where the system can see
// to that. Start has one goroutine for each child, which waits for its end.
package child
