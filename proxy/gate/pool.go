package gate

import "github.com/replproxy/replproxy/internal/crowd"

// pool counts places by where their holders come from and which database they want. So neither an address nor a
// database whose log-ins take long has all of them. Make it with newPool.
type pool struct {
	n        int
	from, to map[string]int
}

func newPool() pool { return pool{from: map[string]int{}, to: map[string]int{}} }

func (p *pool) add(t *Ticket, by int) {
	p.n += by
	count(p.from, t.from, by)
	if t.to != "" {
		count(p.to, t.to, by)
	}
}

func count(of map[string]int, key string, by int) {
	if of[key] += by; of[key] == 0 {
		delete(of, key)
	}
}

// fits reports whether t may take one of size places.
func (p *pool) fits(t *Ticket, size int) bool {
	free := size - p.n
	return crowd.Wide.Allows(p.from[t.from], free, size) &&
		(t.to == "" || crowd.Narrow.Allows(p.to[t.to], free, size))
}
