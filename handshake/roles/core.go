package roles

import (
	"math"
	"slices"
	"time"
)

const (
	// maxRoles bounds the roles that are remembered; one without REPLICATION goes first, of these the one that was
	// asked for longest ago.
	maxRoles = 10_000
	// maxUnknown bounds the names that are remembered for not being roles. A flood of others costs a
	// question each, on the one connection.
	maxUnknown = 1000
	// refreshPart of cache_max_age is the age at which a role is asked for without a log-in. Standbys stay connected
	// for months, and the answer must not be too old on the day of the failure.
	refreshPart = 8
	// expectAgain is the interval at which an expected role that does not exist is asked for: it may be made later.
	expectAgain = time.Minute
	// suspicion is the age below which a wrong proof casts no doubt on an answer. It bounds the questions that
	// guessing passwords causes.
	suspicion = time.Second
)

// entry is the primary's answer about one name, and its time.
type entry struct {
	Role    Role      `json:"role"`
	Asked   time.Time `json:"asked"`
	known   bool
	suspect bool // a client has failed by it: the password may have changed
}

// maxSkew bounds the time by which a clock may have been set back over a restart; a steered clock stays within it.
// Beyond it neither the clock nor the file tells the truth, and times from before the restart are not used.
const maxSkew = time.Second

// age returns the time since the primary was asked. A time in the future counts as now, maxSkew ahead at most. One
// further ahead gives the longest duration there is, so that the answer is not used.
func (e *entry) age(now time.Time) time.Duration {
	age := now.Sub(e.Asked)
	if age < -maxSkew {
		return math.MaxInt64
	}
	return max(age, 0)
}

// cache keeps the answers by name. It is pure: the caller brings the time. Make it with newCache.
type cache struct {
	ttl, maxAge time.Duration
	entries     map[string]*entry
	expected    []string  // names that are asked for before anybody logs in by them
	missed      time.Time // when those of them that are missing were asked for last
	unknown     int       // entries that are no roles
	changed     bool      // what is to be kept differs from what save was given, beyond the time
	asked       bool      // or in the time only
}

func newCache(ttl, maxAge time.Duration) *cache {
	return &cache{ttl: ttl, maxAge: maxAge, entries: map[string]*entry{}}
}

// look returns the remembered answer for a name. fresh: it need not be asked for; usable: it may be used if it can't
// be.
func (c *cache) look(name string, now time.Time) (f Found, fresh, usable bool) {
	e := c.entries[name]
	if e == nil {
		return f, false, false
	}
	age := e.age(now)
	usable = age < c.maxAge && e.known
	fresh = age < c.ttl && !e.suspect
	return Found{Role: e.Role, Known: e.known, Certain: fresh, FromPrimary: true}, fresh, usable
}

// learn remembers the primary's answer, in place of an earlier one. known false: it has no such role.
func (c *cache) learn(name string, r Role, known bool, now time.Time) {
	before := c.entries[name]
	switch {
	case known && (before == nil || !before.known || before.Role != r):
		c.changed = true
	case known:
		c.asked = true
	case before != nil && before.known:
		c.changed = true
	}
	c.drop(name)
	if known {
		c.makeRoom()
	} else if c.unknown >= maxUnknown {
		c.forgetUnknown()
	}
	if !known {
		c.unknown++
	}
	c.entries[name] = &entry{Role: r, Asked: now, known: known}
}

func (c *cache) drop(name string) {
	if e := c.entries[name]; e != nil {
		if !e.known {
			c.unknown--
		}
		delete(c.entries, name)
	}
}

// makeRoom lets one more role in. Standbys' roles, which a failover needs, go last.
func (c *cache) makeRoom() {
	if len(c.entries)-c.unknown < maxRoles {
		return
	}
	first := ""
	for name, e := range c.entries {
		if e.known && (first == "" || e.goesBefore(c.entries[first])) {
			first = name
		}
	}
	c.drop(first)
}

// goesBefore reports whether e is rather forgotten than o.
func (e *entry) goesBefore(o *entry) bool {
	if standby := e.Role.Replication || e.Role.Superuser; standby != (o.Role.Replication || o.Role.Superuser) {
		return !standby
	}
	return e.Asked.Before(o.Asked)
}

func (c *cache) forgetUnknown() {
	for name, e := range c.entries {
		if !e.known {
			delete(c.entries, name)
		}
	}
	c.unknown = 0
}

// suspect says that a client has failed by the remembered answer for name: it is not fresh any more. One that was asked
// for a moment ago, or nothing, stays.
func (c *cache) suspect(name string, now time.Time) {
	if e := c.entries[name]; e != nil && now.Sub(e.Asked) >= suspicion {
		e.suspect = true
	}
}

// due returns up to n roles that should be asked for again, the oldest first. What is too old for any use is dropped.
func (c *cache) due(now time.Time, n int) []string {
	var names []string
	limit := max(c.ttl, c.maxAge/refreshPart)
	for name, e := range c.entries {
		switch age := e.age(now); {
		case age >= c.maxAge || age >= c.ttl && !e.known:
			c.changed = c.changed || e.known
			c.drop(name)
		case e.known && age >= limit:
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return c.entries[a].Asked.Compare(c.entries[b].Asked) })
	if now.Sub(c.missed) >= expectAgain || now.Before(c.missed) {
		c.missed = now
		for _, name := range c.expected {
			if c.entries[name] == nil {
				names = append([]string{name}, names...)
			}
		}
	}
	return names[:min(n, len(names))]
}

// keep returns the roles to be kept on disk, by name.
func (c *cache) keep() []entry {
	var all []entry
	for _, e := range c.entries {
		if e.known {
			all = append(all, *e)
		}
	}
	slices.SortFunc(all, func(a, b entry) int {
		if a.Role.Name < b.Role.Name {
			return -1
		}
		return 1
	})
	return all
}

// restore puts kept roles back, those that are not too old, and counts those that were asked for in the future.
func (c *cache) restore(kept []entry, now time.Time) (future int) {
	for _, e := range kept {
		switch {
		case e.Asked.After(now.Add(maxSkew)):
			future++
		case e.age(now) < c.maxAge && len(c.entries) < maxRoles:
			c.entries[e.Role.Name] = &entry{Role: e.Role, Asked: e.Asked, known: true}
		}
	}
	return future
}
