package report

import "slices"

// grade ranks warnings by their consequence. Status lists the worst first.
type grade int

const (
	stops grade = iota // WAL does not come, commits wait or will, or who is followed is not the primary
	loses              // a standby, a slot, WAL or a vote is lost, or missing, unless somebody acts
	setUp              // configuration and certificates
	grades
)

// warnings collects those that hold now.
type warnings [grades][]string

func (w *warnings) add(g grade, all ...string) { w[g] = append(w[g], all...) }

// worstFirst lists them by grade, and within one in the order in which they were added. It is never nil.
func (w *warnings) worstFirst() []string {
	return append([]string{}, slices.Concat(w[:]...)...)
}
