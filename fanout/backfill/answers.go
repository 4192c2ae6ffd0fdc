package backfill

import (
	"errors"
	"fmt"
)

// Answers collects why none of several members sends WAL. Only when each of all members says so has none of them got
// it: the answer of some is no answer of all. The zero value has heard nobody.
type Answers struct {
	asked map[string]bool
	errs  []error
	other bool // somebody gave another reason
}

// Refused notes why member does not send it.
func (a *Answers) Refused(member string, why error) {
	if a.asked == nil {
		a.asked = map[string]bool{}
	}
	a.asked[member] = true
	a.other = a.other || !Absent(why)
	a.errs = append(a.errs, fmt.Errorf("member %s: %w", member, why))
}

// Err returns why none of all members sends it: [ErrAbsent] when none has got it.
func (a *Answers) Err(all []string) error {
	errs, silent := append([]error{errNoMember}, a.errs...), false
	for _, member := range all {
		if !a.asked[member] {
			errs, silent = append(errs, fmt.Errorf("member %s is not reached", member)), true
		}
	}
	err := errors.Join(errs...)
	if a.other || silent {
		return fmt.Errorf("%s", err) // not wrapped: what some say is not said by all
	}
	return fmt.Errorf("%w: %w", ErrAbsent, err)
}

var errNoMember = errors.New("no other member of the cluster has it")
