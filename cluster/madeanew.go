package cluster

import (
	"errors"
	"fmt"
	"strings"

	"github.com/replproxy/replproxy/cluster/loss"
)

// UnreadyError refuses an operator's word that a standby is made anew: a member could serve it lost WAL.
type UnreadyError struct{ loss.Unready }

func (e *UnreadyError) Error() string {
	var why []string
	if m := strings.Join(e.Unheard, " and "); m != "" {
		why = append(why, fmt.Sprintf("it is not known that %s has heard which WAL was given up: start it, or, if it "+
			"is gone for good, say so: replproxy forget %s", m, e.Unheard[0]))
	}
	if m := strings.Join(e.Lost, " and "); m != "" {
		why = append(why, fmt.Sprintf("%s does not say that it has given that WAL up, too: replproxy accept-timeline "+
			"there, and restart it", m))
	}
	return strings.Join(why, "; ") + ": a standby that goes there could get lost WAL, and its votes would count " +
		"(--force says it all the same)"
}

// MadeAnew takes the operator's word that the standby of a name has nothing of any WAL that was given up. Unless it is
// forced it is refused by an [UnreadyError] while another member could serve lost WAL to that standby. It is an error,
// too, where no WAL was given up that a standby could have. It blocks for the disk.
func (n *Node) MadeAnew(name string, force bool) error {
	n.mu.Lock()
	n.adoptLosses()
	u := n.losses.Unready(n.storeAt(n.o.Store.Positions()), n.others(), func(m string, l loss.Loss) bool {
		return n.statuses.heard[m].GivenUp.Brings(l)
	})
	if len(u.Unheard)+len(u.Lost) > 0 && !force {
		n.mu.Unlock()
		return &UnreadyError{u}
	}
	s, known := n.losses.MadeAnew(name)
	if known {
		n.setLosses(s)
	}
	n.mu.Unlock()
	if !known {
		return errors.New("no WAL was given up that a standby could have: nobody is asked")
	}
	return n.saveLosses()
}
