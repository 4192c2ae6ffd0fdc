package crowd

// Fairness bounds one taker's share of a pool: this many times what is free beside the last place. With 3 one taker
// gets nearly three quarters, a second one of the rest, and so on, and the last place is for one who holds none. (The
// rule is the dynamic threshold of switches with shared buffers, Choudhury and Hahne 1998.)
type Fairness int

// The usual ones. A taker of Wide may be made of several of Narrow: it leaves places when one of these has all it can.
const (
	Narrow Fairness = 3
	Wide   Fairness = 9
)

// whole is the largest pool that one taker may have all of.
const whole = 3

// Allows reports whether a taker who holds held of size places may take another one, while free are free. One that
// holds none may take the last one.
func (f Fairness) Allows(held, free, size int) bool {
	return free > 0 && (held == 0 || size <= whole || held < int(f)*(free-1))
}
