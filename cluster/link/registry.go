package link

import "time"

// admission is the decision on a connection that asks to speak for a name.
type admission int

const (
	admitted admission = iota // it speaks for its peer
	wait                      // another run of the same name may still be alive: ask again
	conflict                  // two runs of one name are alive: neither is heard
	replaced                  // a newer connection of the same run speaks
)

// conflictHold bounds the time for which a name is not heard after two runs of it were alive at once. Longer than a
// dialer's longest delay, so that two that go on dialling never get a turn.
const conflictHold = 10 * time.Second

// nameHolder is the connection that speaks for one peer.
type nameHolder struct {
	run, conn  uint64    // who speaks: the start of the process, the connection; conn 0: nobody
	challenger uint64    // another run that asks for the name; 0: none
	until      time.Time // the name is not heard before
	last       uint64    // the run that asked last while the name was not heard
}

// nameRegistry decides which connection speaks for which peer. It is pure: events and time in, admissions out.
type nameRegistry struct {
	holders map[string]*nameHolder
}

func (r *nameRegistry) holder(peer string) *nameHolder {
	s := r.holders[peer]
	if s == nil {
		s = &nameHolder{}
		r.holders[peer] = s
	}
	return s
}

// arrive asks for the peer's name for a connection, again until the answer is not wait.
func (r *nameRegistry) arrive(now time.Time, peer string, run, conn uint64) admission {
	s := r.holder(peer)
	switch {
	case now.Before(s.until):
		if run != s.last { // both are still there
			s.until, s.last = now.Add(conflictHold), run
		}
		return conflict
	case s.conn == 0 || s.run == run:
		s.run, s.conn, s.challenger = run, conn, 0
		return admitted
	default:
		s.challenger = run
		return wait
	}
}

// speak says that something came on a connection.
func (r *nameRegistry) speak(now time.Time, peer string, conn uint64) admission {
	s := r.holder(peer)
	switch {
	case s.conn != conn:
		return replaced
	case s.challenger != 0:
		s.until, s.last = now.Add(conflictHold), s.run
		return conflict
	}
	return admitted
}

// leave says that a connection ended, or that a challenger gave up. It reports whether nobody speaks
// for the peer any more.
func (r *nameRegistry) leave(peer string, run, conn uint64) bool {
	s := r.holder(peer)
	if s.challenger == run {
		s.challenger = 0
	}
	if s.conn != conn {
		return false
	}
	s.run, s.conn, s.challenger = 0, 0, 0
	return true
}
