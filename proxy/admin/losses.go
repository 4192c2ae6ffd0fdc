package admin

import "github.com/replproxy/replproxy/grammar/lsn"

// Lack is WAL that is known and that a server does not have, which therefore is not followed.
type Lack struct {
	Timeline lsn.TimelineID `json:"timeline" doc:"timeline of the server that is not followed"`
	From     lsn.LSN        `json:"from_lsn" doc:"where it left the known WAL; 0/0: it has none of it, or nobody knows"`
	To       lsn.LSN        `json:"to_lsn" doc:"end of the known WAL: reported under a rule, or lost by a primary"`
	Lost     bool           `json:"lost,omitempty" doc:"the primary itself had that WAL, and came back without it"`
	Of       lsn.TimelineID `json:"of_timeline,omitzero" doc:"timeline of that WAL"`
	By       string         `json:"by,omitempty" doc:"member that knows of it; absent: this proxy"`
	Restart  bool           `json:"restart,omitempty" doc:"the loss is accepted, and this proxy waits for its restart"`
}

// Lacks returns the refusals of all servers for WAL that they lack, that of Lack first. They are u's own.
func (u *Upstream) Lacks() (all []*Lack) {
	if u.Lack == nil {
		return nil
	}
	all = append(all, u.Lack)
	for i := range u.OtherLacks {
		all = append(all, &u.OtherLacks[i])
	}
	return all
}

// LostBy is WAL that a server of upstream.conninfo has lost, and for which it was refused last.
type LostBy struct {
	Host     string         `json:"host,omitempty" doc:"where that server was; absent: refused before this start"`
	Timeline lsn.TimelineID `json:"timeline" doc:"timeline of that WAL, and of the server"`
	From     lsn.LSN        `json:"from_lsn" doc:"where what it lost begins; 0/0: nobody knows"`
	To       lsn.LSN        `json:"to_lsn" doc:"where that ends"`
}

// Accepted is an operator's word, by accept-timeline, that a server is to be followed although it lacks WAL.
type Accepted struct {
	System   string         `json:"system_identifier,omitempty" doc:"of that server; absent: of any"`
	Timeline lsn.TimelineID `json:"timeline" doc:"of that server"`
	From     lsn.LSN        `json:"from_lsn,omitzero" doc:"where what it lacks begins; absent: whatever it lacks"`
	To       lsn.LSN        `json:"to_lsn,omitzero" doc:"where that ends"`
	Of       lsn.TimelineID `json:"of_timeline,omitzero" doc:"timeline of that WAL"`
	Forced   bool           `json:"forced,omitempty" doc:"said by --force, though no server was refused"`
}

// Aside is WAL that an operator gave up while the store has some of it.
type Aside struct {
	Timeline lsn.TimelineID `json:"timeline" doc:"timeline of that WAL"`
	From     lsn.LSN        `json:"from_lsn" doc:"where it began; 0/0: not known"`
	To       lsn.LSN        `json:"to_lsn" doc:"where it ended"`
}

// GivenUp is WAL that the primary came back without and that an operator gave up.
type GivenUp struct {
	Timeline lsn.TimelineID `json:"timeline" doc:"timeline of that WAL"`
	From     lsn.LSN        `json:"from_lsn" doc:"where it began"`
	To       lsn.LSN        `json:"to_lsn" doc:"where it ended, as far as anybody knew"`
	Standbys []string       `json:"standbys,omitempty" doc:"may have it: no WAL, no vote until they are made anew"`

	Here      bool     `json:"here" doc:"this proxy was told so, or has WAL that was written instead"`
	Elsewhere []string `json:"elsewhere,omitempty" doc:"other members of which the same is true, as they say"`
	Untold    []string `json:"untold,omitempty" doc:"members that have heard of it, and may have that WAL still"`
}
