package proxy

// Virtual pids (ruling R31). A real pid is at most 2^22 on Linux, so these collide with none:
//
//	 31   30 ........ 24   23 ............... 0
//	┌───┬────────────────┬──────────────────────┐
//	│ 0 │ node (7 bits)  │ counter, above 2^22  │
//	└───┴────────────────┴──────────────────────┘
const (
	pidNodeBits    = 7
	pidCounterBits = 24
	// MaxNode is the largest node number that fits a virtual pid.
	MaxNode = 1<<pidNodeBits - 1
	// pidFirst and pidLast bound the counter: 12 million values, far more than sessions can live.
	pidFirst = 1<<22 + 1
	pidLast  = 1<<pidCounterBits - 1
)

// pids hands out virtual pids that no living session has. Make it with newPIDs.
type pids struct {
	base int32
	next int32
	used map[int32]struct{}
}

func newPIDs(node uint8) pids {
	return pids{base: int32(node&MaxNode) << pidCounterBits, next: pidFirst, used: map[int32]struct{}{}}
}

// take gives the next free pid. Sessions are fewer than values, so there is always one.
func (p *pids) take() int32 {
	for {
		pid := p.base | p.next
		if p.next++; p.next > pidLast {
			p.next = pidFirst
		}
		if _, taken := p.used[pid]; !taken {
			p.used[pid] = struct{}{}
			return pid
		}
	}
}

func (p *pids) release(pid int32) { delete(p.used, pid) }
