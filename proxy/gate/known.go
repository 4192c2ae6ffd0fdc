package gate

// knownHalf is half of how many addresses are remembered to have logged in: standbys and servers of applications,
// not their connections. It takes 400 kB at most.
const knownHalf = 2048

// known are the addresses whose clients logged in last time, the latest at least knownHalf of them. Its memory is two
// generations: when the younger one is full it becomes the older one, and that one is forgotten.
type known struct {
	young, old map[string]struct{}
}

func (k *known) has(from string) bool {
	_, young := k.young[from]
	_, old := k.old[from]
	return young || old
}

func (k *known) add(from string) {
	if _, ok := k.young[from]; ok {
		return
	}
	if k.young == nil || len(k.young) >= knownHalf {
		k.young, k.old = map[string]struct{}{}, k.young
	}
	k.young[from] = struct{}{}
}

func (k *known) drop(from string) {
	delete(k.young, from)
	delete(k.old, from)
}
