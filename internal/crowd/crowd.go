package crowd

import "container/list"

// Crowd holds members in the order of their arrival, grouped by origin. The zero value is empty.
type Crowd[M any, K comparable] struct {
	members list.List // of *Member[M, K]
	from    map[K]int
}

// Member is one member's place. It belongs to one Crowd.
type Member[M any, K comparable] struct {
	Value M
	From  K

	element *list.Element // nil once removed
}

// Add appends a member of the origin from, which stays until Remove. A value may be added twice.
func (c *Crowd[M, K]) Add(value M, from K) *Member[M, K] {
	if c.from == nil {
		c.from = map[K]int{}
	}
	m := &Member[M, K]{Value: value, From: from}
	m.element = c.members.PushBack(m)
	c.from[from]++
	return m
}

// Remove takes m out. It reports false when m was not there any more; nil never was.
func (c *Crowd[M, K]) Remove(m *Member[M, K]) bool {
	if m == nil || m.element == nil {
		return false
	}
	c.members.Remove(m.element)
	m.element = nil
	if c.from[m.From]--; c.from[m.From] == 0 {
		delete(c.from, m.From)
	}
	return true
}

// Len returns how many members there are.
func (c *Crowd[M, K]) Len() int { return c.members.Len() }

// Of returns how many of them are of an origin.
func (c *Crowd[M, K]) Of(from K) int { return c.from[from] }

// Victim returns the member that makes room: of those that will do, the oldest one of the origin that has most members;
// nil for none. A nil will accepts all. It leaves the member where it is, and takes time in proportion to Len.
func (c *Crowd[M, K]) Victim(will func(*Member[M, K]) bool) *Member[M, K] {
	return c.VictimBy(c.Of, will)
}

// VictimBy chooses as Victim does, where count says how many an origin has, in several crowds for example.
func (c *Crowd[M, K]) VictimBy(count func(K) int, will func(*Member[M, K]) bool) *Member[M, K] {
	var victim *Member[M, K]
	for e := c.members.Front(); e != nil; e = e.Next() {
		m := e.Value.(*Member[M, K])
		if (victim == nil || count(m.From) > count(victim.From)) && (will == nil || will(m)) {
			victim = m
		}
	}
	return victim
}
