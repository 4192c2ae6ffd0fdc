// Package pages follows the documentation, command by command, on machines as the pages name them.
//
//	README.md ──► db1, standby1, proxy        docs/failover.md ──► db1, s1, s2, s3, proxy_a, proxy_b, the operator's
//
// Each machine is a network namespace with an /etc, a /var/lib and a /usr/local/bin of its own. A block of a page so
// runs as it is printed: with those names, the usual ports and the usual paths. ssh and scp are programs of the test.
package pages
