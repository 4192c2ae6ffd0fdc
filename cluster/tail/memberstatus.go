package tail

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/replproxy/replproxy/cluster/loss"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// MemberStatus is the state of a proxy and of the standbys attached to it, as it tells the others. Fenced was read
// before the positions: of a fenced timeline it never reported anything beyond Written, nor will it.
type MemberStatus struct {
	Node     string         `json:"node"`
	System   lsn.SystemID   `json:"system_identifier"`
	Fenced   lsn.TimelineID `json:"fenced"`
	Timeline lsn.TimelineID `json:"timeline"` // 0: the store is empty
	Begin    lsn.LSN        `json:"begin_lsn,omitzero"`
	Received lsn.LSN        `json:"received_lsn,omitzero"`
	Written  lsn.LSN        `json:"written_lsn,omitzero"`
	Flushed  lsn.LSN        `json:"flushed_lsn,omitzero"`
	// Owed is the end of what a start owes: it was damaged or being flushed, may have been voted for, and has not come
	// again.
	Owed lsn.LSN `json:"owed_lsn,omitzero"`
	// Complete is the end of the last complete record at or below Received; 0: not said, by release v0.1.0.
	Complete lsn.LSN `json:"complete_lsn,omitzero"`
	// Promised is the highest position that it reported under a rule: a little later it may have been higher.
	Promised lsn.LSN `json:"promised_lsn,omitzero"`
	// PromisedOn is the timeline that Promised is a position of; 0: Timeline. A store that was emptied says it until it
	// is on that timeline again.
	PromisedOn lsn.TimelineID `json:"promised_timeline,omitzero"`
	// Covered is the highest flush or apply of Timeline that it saw the rules cover since it started: another one
	// may have reported it. Where it has received so far, Covered is rounded down to the end of a record, and at most
	// Complete (ruling R36); by release v0.1.0 it is not.
	Covered lsn.LSN `json:"covered_lsn,omitzero"`
	// CompleteHash names the WAL up to Complete (cluster/compare); 0: not known.
	CompleteHash uint64 `json:"complete_hash,omitzero"`
	// Lost is the WAL that a primary which it refuses has come back without; nil: it refuses none for that.
	Lost *Lost `json:"lost,omitempty"`
	// Asks is a question to all others for a status made after it; 0: none. Answers are by node the newest question
	// that it had heard before it looked at itself.
	Asks    uint64            `json:"asks,omitzero"`
	Answers map[string]uint64 `json:"answers,omitempty"`
	// GivenUp is WAL that was given up, and who may still have it.
	GivenUp loss.Set `json:"given_up,omitempty"`
	// Release is the version of replproxy that it runs; "": v0.1.0.
	Release string `json:"release,omitempty"`
	// Backups are the application_names of base backups that run through it, at most MaxBackups; [AnyBackup] stands for
	// all further ones.
	Backups []string `json:"backups,omitempty"`
	// Members are the other proxies of its configuration, but those that an operator has removed. v0.1.0 does not say.
	Members  []string  `json:"members,omitempty"`
	Standbys []Standby `json:"standbys"`
}

// Lost is WAL of a timeline that the primary which writes that timeline has lost, by the WAL that the member has or had
// itself (ruling R32).
type Lost struct {
	System   lsn.SystemID   `json:"system_identifier"`
	Timeline lsn.TimelineID `json:"timeline"`
	From     lsn.LSN        `json:"from_lsn"`
	To       lsn.LSN        `json:"to_lsn"`
}

// Standby is a session, with the positions that it has reported, as far as its proxy has the WAL.
type Standby struct {
	Name     string         `json:"application_name"` // folded
	State    string         `json:"state"`
	Timeline lsn.TimelineID `json:"timeline"`
	Sent     lsn.LSN        `json:"sent_lsn,omitzero"`
	Write    lsn.LSN        `json:"write_lsn,omitzero"`
	Flush    lsn.LSN        `json:"flush_lsn,omitzero"`
	Apply    lsn.LSN        `json:"replay_lsn,omitzero"`
	Attached time.Time      `json:"backend_start,omitzero"`
	Replied  time.Time      `json:"reply_time,omitzero"`
}

// PromisedHere returns Promised, or Invalid if that is a position of another timeline than the one that it is on.
func (a MemberStatus) PromisedHere() lsn.LSN {
	if a.PromisedOn != 0 && a.PromisedOn != a.Timeline {
		return lsn.Invalid
	}
	return a.Promised
}

// Acked returns the positions up to which it says that WAL was acknowledged to a primary: reported by itself, or
// covered by a rule that it saw.
func (a MemberStatus) Acked() (all []lsn.Point) {
	if a.Promised != lsn.Invalid {
		all = append(all, lsn.Point{System: a.System, Timeline: cmp.Or(a.PromisedOn, a.Timeline), LSN: a.Promised})
	}
	if a.Covered != lsn.Invalid {
		all = append(all, lsn.Point{System: a.System, Timeline: a.Timeline, LSN: a.Covered})
	}
	return all
}

// MaxBackups bounds the names of base backups that a member tells. A primary has max_wal_senders for them, by default
// 10.
const MaxBackups = 64

// AnyBackup stands for any application_name among Backups.
const AnyBackup = "*"

// BacksUp reports whether a base backup of that application_name runs through the member.
func (a MemberStatus) BacksUp(name string) bool {
	return slices.Contains(a.Backups, name) || slices.Contains(a.Backups, AnyBackup)
}

// adds is the first message version in which a status may be more than one object.
const adds = 2

// ErrStatus reports bytes that are no member status.
var ErrStatus = errors.New("no status of a member")

// Encode gives at most about 800 kB, as much as a member's item may have: standbys beyond vote.MaxSessions,
// which have no vote either, are left out.
//
// The first older bytes of it are what message version 1 has.
func Encode(a MemberStatus) (b []byte, older int, err error) {
	a.Standbys = a.Standbys[:min(len(a.Standbys), vote.MaxSessions)]
	added := struct {
		Complete     lsn.LSN        `json:"complete_lsn,omitzero"`
		CompleteHash uint64         `json:"complete_hash,omitzero"`
		Promised     lsn.LSN        `json:"promised_lsn,omitzero"`
		PromisedOn   lsn.TimelineID `json:"promised_timeline,omitzero"`
		Lost         *Lost          `json:"lost,omitempty"`

		Asks    uint64            `json:"asks,omitzero"`
		Answers map[string]uint64 `json:"answers,omitempty"`
		GivenUp loss.Set          `json:"given_up,omitempty"`
		Release string            `json:"release,omitempty"`
		Backups []string          `json:"backups,omitempty"`
		Members []string          `json:"members,omitempty"`
	}{
		Complete: a.Complete, CompleteHash: a.CompleteHash, PromisedOn: a.PromisedOn, Lost: a.Lost,
		Asks: a.Asks, Answers: a.Answers, GivenUp: a.GivenUp, Release: a.Release,
		Backups: a.Backups[:min(len(a.Backups), MaxBackups)],
		Members: a.Members,
	}
	if len(a.Backups) > MaxBackups {
		added.Backups = append(slices.Clone(added.Backups), AnyBackup)
	}
	if a.PromisedOn != 0 && a.PromisedOn != a.Timeline {
		added.Promised, a.Promised = a.Promised, 0 // version 1 would take it for a position of Timeline
	}
	a.Complete, a.CompleteHash, a.PromisedOn, a.Lost = 0, 0, 0, nil
	a.Asks, a.Answers, a.GivenUp, a.Release, a.Backups, a.Members = 0, nil, nil, "", nil, nil
	if b, err = json.Marshal(a); err != nil {
		return nil, 0, err
	}
	more, err := json.Marshal(added)
	return append(b, more...), len(b), err
}

// Decode reads the status that the member node has encoded in a message version (cluster/link). From version 2 on a
// second object may follow, with what that version added, and after it what is not known here.
func Decode(node string, version int, b []byte) (a MemberStatus, err error) {
	if version < adds {
		err = json.Unmarshal(b, &a)
	} else {
		d := json.NewDecoder(bytes.NewReader(b))
		if err = d.Decode(&a); err == nil {
			if err = d.Decode(&a); errors.Is(err, io.EOF) {
				err = nil
			}
		}
	}
	if err != nil {
		return MemberStatus{}, fmt.Errorf("%w: %w", ErrStatus, err)
	}
	if a.Node != node || len(a.Standbys) > vote.MaxSessions || len(a.Answers) > vote.MaxMembers ||
		len(a.Members) > vote.MaxMembers {
		return MemberStatus{}, fmt.Errorf("%w: node %q, %d standbys", ErrStatus, a.Node, len(a.Standbys))
	}
	a.Release = a.Release[:min(len(a.Release), vote.MaxName)]
	if len(a.Backups) > MaxBackups+1 {
		a.Backups = []string{AnyBackup}
	}
	for _, name := range a.Members {
		if name == "" || len(name) > vote.MaxName {
			return MemberStatus{}, fmt.Errorf("%w: a member %q", ErrStatus, name)
		}
	}
	for _, s := range a.Standbys {
		if len(s.Name) > vote.MaxName || s.Name != vote.Fold(s.Name) {
			return MemberStatus{}, fmt.Errorf("%w: application_name %q", ErrStatus, s.Name)
		}
	}
	return a, nil
}
