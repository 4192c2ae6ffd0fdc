// Package crowd decides who gets what when there is not enough for all. It picks who makes room when all places are
// taken, whether one who has much may take more, who is remembered as honest, and which lines are logged.
//
//	Crowd    members that have not proved anything: when all places are taken, the oldest one goes of the
//	         origin that has most, so that a crowd pushes out its own
//	Fairness whether one of several takers may take another place of a pool: some always stay free for others
//	Known    the origins that proved themselves last, in bounded memory
//	Quota    so many lines in a window; the rest is counted and said later
//
// An origin is whatever members are grouped by: an address, a network of IPv6, a name. Everything is pure: the
// caller has the lock, brings the time and acts. Nothing is safe for concurrent use.
package crowd
