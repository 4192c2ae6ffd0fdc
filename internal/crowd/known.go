package crowd

// KnownHalf is half of how many origins a Known remembers at most: standbys, members and servers of applications, not
// their connections. With addresses it takes 400 kB.
const KnownHalf = 2048

// Known remembers the origins that were added last, KnownHalf of them at least. Its memory is two generations: when
// the younger one is full it becomes the older one, and that one is forgotten. The zero value is empty.
type Known[K comparable] struct {
	young, old map[K]struct{}
}

// Has reports whether an origin is remembered. It does not keep it for longer: only Add does.
func (k *Known[K]) Has(from K) bool {
	_, young := k.young[from]
	_, old := k.old[from]
	return young || old
}

// Add remembers an origin.
func (k *Known[K]) Add(from K) {
	if _, ok := k.young[from]; ok {
		return
	}
	if k.young == nil || len(k.young) >= KnownHalf {
		k.young, k.old = map[K]struct{}{}, k.young
	}
	k.young[from] = struct{}{}
}

// Drop forgets an origin.
func (k *Known[K]) Drop(from K) {
	delete(k.young, from)
	delete(k.old, from)
}

// Len returns how many are remembered; one of both generations counts twice.
func (k *Known[K]) Len() int { return len(k.young) + len(k.old) }
