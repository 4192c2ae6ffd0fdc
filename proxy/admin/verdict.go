package admin

import "time"

// Verdict sums the document up, for who looks first: one state, and one sentence. Every surface shows Text.
type Verdict struct {
	Text    string    `json:"text" doc:"all of it in a line: state, for how long, why, and what to do behind an arrow"`
	State   string    `json:"state" doc:"stopped, blind, commits wait, degraded or ok: the worst that holds"`
	Since   time.Time `json:"since,omitzero" doc:"since when that is the state"`
	Cause   string    `json:"cause,omitempty" doc:"the same in a few words without numbers, for programs; absent: ok"`
	Why     string    `json:"why" doc:"the reason, with names and numbers"`
	Do      string    `json:"do,omitempty" doc:"what to do next; absent: nothing"`
	Runbook string    `json:"runbook,omitempty" doc:"the section of the runbook; absent: ok"`
}

// States of a [Verdict], the worst first. Stopped: no WAL comes, and somebody has to act. Blind: no WAL comes, or it is
// not known yet whether commits wait. Degraded: nothing hangs, and something is missing or will be.
const (
	VerdictStopped  = "stopped"
	VerdictBlind    = "blind"
	VerdictWaits    = "commits wait"
	VerdictDegraded = "degraded"
	VerdictOK       = "ok"
)

// Verdicts returns the states of a verdict, the worst first.
func Verdicts() []string {
	return []string{VerdictStopped, VerdictBlind, VerdictWaits, VerdictDegraded, VerdictOK}
}

// verdictMetrics are rows of [metrics].
var verdictMetrics = []metric{
	{"replproxy_verdict_state", "1 for the state of the verdict, 0 for the others: the worst that holds.",
		"verdict", Verdicts(), gauge,
		func(s *Status, emit func(string, float64)) {
			for _, state := range Verdicts() {
				emit(state, truth(s.Verdict.State == state))
			}
		}},
}

// NoWAL begins the warning which says that no WAL comes from the primary, and since when.
const NoWAL = "no WAL comes from the primary since "
