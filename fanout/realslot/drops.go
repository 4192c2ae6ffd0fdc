package realslot

import "time"

// DroppedBySomebody is logged when a slot that was ours on a primary is gone without our doing. The usual reason is a
// manager that drops slots it does not know: Patroni does so on the primary, each loop_wait.
const DroppedBySomebody = "somebody dropped the slot on the primary: it was made anew; tell who manages slots there " +
	"to leave it alone (Patroni: ignore_slots)"

// sayDropsEvery spaces the log lines about drops of a slot: a manager may drop the slot whenever it is made.
const sayDropsEvery = time.Minute

// Drops counts how often somebody else dropped a slot of ours, and says when last. The zero value: never.
type Drops struct {
	N    int64
	Last time.Time
	said time.Time
}

// add counts one drop of the slot, seen at now, and reports whether to log it. It asks for a line at most once in
// sayDropsEvery.
func (d *Drops) add(now time.Time) bool {
	d.N, d.Last = d.N+1, now
	if !d.said.IsZero() && now.Sub(d.said) < sayDropsEvery {
		return false
	}
	d.said = now
	return true
}
