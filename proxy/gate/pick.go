package gate

import (
	"maps"
	"slices"
)

// wanted reports whether somebody who waits could use the place of t.
func (c *core) wanted(t *Ticket) bool {
	if c.walreceiver || c.short > 0 || c.counted.n >= c.limit {
		return true
	}
	if t.apart {
		return c.apart >= c.mostApart() // or somebody whose log-in is over counts on
	}
	// Places are free that those who wait may not take: one of their own kind has to go.
	for _, q := range c.queue {
		if q.from == t.from || q.to != "" && q.to == t.to {
			return true
		}
	}
	return false
}

// pick takes the next one out of the queue: the first of the address that comes first (usages.before), of those that
// may take a place; nil for none. Whoever may have left comes after all others. Of an address whose clients sit on
// their places most are the last that came: the others have most likely nothing to say, however many.
func (c *core) pick() *Ticket {
	best := -1
	for i, t := range c.queue {
		switch {
		case best >= 0 && t.last && !c.queue[best].last:
		case best >= 0 && t.last == c.queue[best].last && !c.usage.before(t.from, c.queue[best].from):
		case c.counted.fits(t, c.limit):
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	if a := c.usage.get(c.queue[best].from); !a.sat.IsZero() {
		if a.oldest = (a.oldest + 1) % oldestEvery; a.oldest != 0 {
			best = c.newest(best)
		}
	}
	t := c.queue[best]
	c.queue = slices.Delete(c.queue, best, best+1)
	c.turn++
	a := c.usage.get(t.from)
	a.waiting--
	a.turn = c.turn
	return t
}

// newest returns the last that came of those that have the address of the one at i, may take a place, and are no more
// likely to have left.
func (c *core) newest(i int) int {
	for j := len(c.queue) - 1; j > i; j-- {
		t := c.queue[j]
		if t.from == c.queue[i].from && t.last == c.queue[i].last && c.counted.fits(t, c.limit) {
			return j
		}
	}
	return i
}

// byDue returns the tickets that can be spared, the one that is due first in front.
func (c *core) byDue() []*Ticket {
	return slices.SortedFunc(maps.Keys(c.yielding), func(a, b *Ticket) int { return a.due.Compare(b.due) })
}
