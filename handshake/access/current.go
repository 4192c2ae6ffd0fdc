package access

import (
	"maps"
	"slices"
	"sync/atomic"

	"github.com/replproxy/replproxy/handshake"
)

// Set is the policies of all listeners.
type Set struct {
	// Default is for listeners without rules of their own.
	Default Policy
	// Listeners have rules of their own, by address as the configuration writes it.
	Listeners map[string]Policy
}

// Verified returns the roles that rules of any listener name with scram-sha-256.
func (s Set) Verified() []string {
	users := s.Default.Rules.Verified()
	for _, p := range s.Listeners {
		users = append(users, p.Rules.Verified()...)
	}
	slices.Sort(users)
	return slices.Compact(users)
}

// All returns the rules of the default and of each listener that has some.
func (s Set) All() (all []*Rules) {
	if s.Default.Rules.Len() > 0 {
		all = append(all, s.Default.Rules)
	}
	for _, at := range slices.Sorted(maps.Keys(s.Listeners)) {
		if r := s.Listeners[at].Rules; r.Len() > 0 {
			all = append(all, r)
		}
	}
	return all
}

// Current holds the set in force. Its methods may be called from any goroutine; the zero value lets the primary decide
// for all.
type Current struct{ set atomic.Pointer[Set] }

// Set puts s into force for connections from now on. It must not be changed any more.
func (k *Current) Set(s Set) { k.set.Store(&s) }

// Decide judges a request that came through the listener at that address. It must not be a cancel request.
func (k *Current) Decide(listener string, r *handshake.Request) Decision {
	s := k.set.Load()
	if s == nil {
		return Policy{}.Decide(FactsOf(r))
	}
	p, own := s.Listeners[listener]
	if !own {
		p = s.Default
	}
	return p.Decide(FactsOf(r))
}
