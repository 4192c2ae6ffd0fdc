// Package tcpopt gives TCP connections what PostgreSQL's have: keepalive as the system has it unless told otherwise,
// TCP_NODELAY, and no time-out of unacknowledged data. Go's net package has its own defaults (15 seconds of keepalive,
// multipath TCP for listeners), by which sessions end in network failures that PostgreSQL's survive.
package tcpopt
