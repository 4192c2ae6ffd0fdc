// Package limits has the least programs that do the same work as a proxy: the limits of this machine. A proxy that is
// measured beside them falls short by the work that it does more.
//
//	segment files, mapped once ──writev──► N connections          WAL: old WAL
//	one stream of a primary ──one write each──► N connections     WAL: live
//
//	client ◄── one epoll loop on a thread of its own ──► server   Relay
//
// They check nothing, keep nothing, and trust everybody. They are not for anything but measuring.
package limits
