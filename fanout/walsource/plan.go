package walsource

import (
	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/knownwal"
)

// server holds the upstream's answers about itself.
type server struct {
	system   lsn.SystemID
	timeline lsn.TimelineID
	xlogpos  lsn.LSN
	history  lsn.History // of timeline
	seg      lsn.SegSize
	version  int // server_version_num
	settings map[string]string
	virtual  bool // it is a proxy
	endpoint string

	known knowledge // from before it was asked where it is
	// restart is its first restart in WAL that the store owes; nil: there was none, or nobody looked.
	restart *knownwal.Restart

	slotRestart lsn.LSN // 0: no slot, nothing reserved, or not told (14)
	slotTLI     lsn.TimelineID
}

// inRecovery reports whether no commit waits there. Unknown is no.
//
// SHOW computes in_hot_standby when it is asked (guc: show_in_hot_standby). A server that was in recovery then can't
// begin to commit within the timeline that is streamed, because a promotion ends it. A proxy may go over to another
// server of that timeline without a word to us, even to a primary.
func (s *server) inRecovery() bool { return s.settings[inHotStandby] == "on" && !s.virtual }

// sendsOthers reports whether srv sends WAL that another server writes.
func (s *server) sendsOthers() bool { return s.inRecovery() || s.virtual }

// facts describes srv as the walreceiver needs it for a stream.
func (s *server) facts() walreceiver.Server {
	return walreceiver.Server{
		System: s.system, Timeline: s.timeline, History: s.history, Version: s.version, Settings: s.settings,
		Recovery: s.inRecovery(), Virtual: s.virtual, End: s.xlogpos,
		Slot: walreceiver.SlotStart{Restart: s.slotRestart, Timeline: s.slotTLI},
	}
}

// inHotStandby is the parameter by which a server tells its role.
const inHotStandby = "in_hot_standby"

// startPoint is a position on a timeline, for START_REPLICATION.
type startPoint struct {
	timeline lsn.TimelineID
	at       lsn.LSN
}

// resumption decides which stored WAL is to be sent again.
type resumption struct {
	// record is the beginning of the last complete record, or a little before it. 0: not known.
	record lsn.LSN
	// lacking is a start that was tried in vain: no segment before the end is asked for there again.
	lacking lsn.LSN
}

// planStart decides where to stream from (ruling R31). With stored WAL that is the segment of the last complete record,
// on the timeline that leads on from there. An empty store starts where the slot begins, otherwise where the server is.
// A refusal is a *pgerror.Error in PostgreSQL's words.
func planStart(have walstore.Positions, srv server, again resumption) (startPoint, error) {
	if have.Timeline == 0 {
		if srv.slotRestart != 0 && srv.history.Contains(srv.slotTLI) {
			return startPoint{srv.slotTLI, srv.seg.Floor(srv.slotRestart)}, nil
		}
		return startPoint{srv.timeline, srv.seg.Floor(srv.xlogpos)}, nil
	}
	if srv.timeline < have.Timeline {
		return startPoint{}, pgerror.New(pgerror.ObjectNotInPrerequisite,
			"highest timeline %s of the primary is behind recovery timeline %s", srv.timeline, have.Timeline)
	}
	if have.Timeline == srv.timeline {
		return onItsTimeline(startPoint{have.Timeline, overlap(have, srv, again)}, srv), nil
	}
	fork, next, ok := srv.history.SwitchPoint(have.Timeline)
	switch {
	case !ok:
		return startPoint{}, pgerror.New(pgerror.InternalError,
			"requested timeline %s is not in this server's history", have.Timeline).
			WithHint("The upstream took another way at an earlier timeline: it does not continue what is stored.")
	case have.Received < fork:
		return onItsTimeline(startPoint{have.Timeline, overlap(have, srv, again)}, srv), nil
	}
	// At the fork, or beyond it: then the store moves aside what the new timeline lacks, or refuses to.
	return startPoint{next, srv.seg.Floor(fork)}, nil
}

// onItsTimeline returns p on the timeline whose file has that segment. Where damage was found the stored WAL may end
// below the segment in which its timeline began: no server has a file of it there (walreceiver: tliOfPointInHistory).
func onItsTimeline(p startPoint, srv server) startPoint {
	if p.at < srv.seg.Floor(beginOf(srv.history, p.timeline)) {
		p.timeline = srv.history.TimelineOf(p.at)
	}
	return p
}

// overlap returns the start of the segment with the last stored byte, where PostgreSQL starts, or the one before. Only
// a complete record that is sent again proves that this server is the one whose WAL is stored (ruling R32). It could
// have come back with less WAL, or have been promoted to the same timeline number at the same position. The header of a
// segment and the beginning of a record are the same everywhere.
func overlap(have walstore.Positions, srv server, again resumption) lsn.LSN {
	end := srv.seg.Floor(have.Received)
	record := again.record
	if record == lsn.Invalid {
		record = have.Received - 1
	}
	if end <= record && end < have.Received || end < lsn.LSN(srv.seg) {
		return end
	}
	begin := beginOf(srv.history, have.Timeline) // its first segment is the one that holds it
	before := end - lsn.LSN(srv.seg)
	if before < have.Oldest || before < srv.seg.Floor(begin) || before == again.lacking {
		return end
	}
	// The store may end with a segment whose last record began in the one before it.
	if first := before - lsn.LSN(srv.seg); end == have.Received && record < before && before >= lsn.LSN(srv.seg) &&
		first >= max(have.Oldest, srv.seg.Floor(begin)) && first != again.lacking {
		return first
	}
	return before
}

// beginOf returns the position at which a timeline of h begins, 0 for the first. t must be h's own or one of its
// parents.
func beginOf(h lsn.History, t lsn.TimelineID) (begin lsn.LSN) {
	for _, p := range h.Parents {
		if p.Timeline == t {
			break
		}
		begin = p.Switch
	}
	return begin
}

// overlapMost bounds how much earlier a stream begins for the end of a transaction to be among what is sent again, in
// bytes. Four segments of the usual size cost a far primary of 100 Mbit/s five seconds, and only when nothing was
// committed in the segments after.
const overlapMost lsn.LSN = 64 << 20

// datedOverlap moves the start of a stream back to the segment in which the last transaction ended that the store has
// whole. Its record has a time, so a primary that has lost it, and has written as much again, sends other bytes. Other
// records, those after a segment switch above all, may be the same in two histories. Without such a segment within
// overlapMost the start stays. dated is [Store.Dated].
func datedOverlap(have walstore.Positions, srv server, p startPoint, lacking lsn.LSN,
	dated func(from, to lsn.LSN) (bool, error)) startPoint {
	if have.Timeline == 0 || p.timeline != have.Timeline || p.at >= have.Complete {
		return p
	}
	size, first := lsn.LSN(srv.seg), max(have.Oldest, srv.seg.Floor(beginOf(srv.history, have.Timeline)))
	for at := p.at; ; at -= size {
		found, err := dated(at, have.Complete)
		switch {
		case err != nil:
			return p
		case found:
			return startPoint{p.timeline, at}
		case at < first+size, p.at-at >= overlapMost, at-size == lacking:
			return p
		}
	}
}

// uncompared reports whether a stream from p on brings no stored record again, as the server has removed lacking, the
// segment that has the last one. Of a timeline of which nothing is stored its history tells.
func uncompared(have walstore.Positions, srv server, p startPoint, lacking lsn.LSN) bool {
	return lacking != lsn.Invalid && p.timeline == have.Timeline && p.at >= have.Complete &&
		have.Complete > max(have.Oldest, beginOf(srv.history, have.Timeline))
}

// showsLoss reports whether other WAL at a position speaks against a complete record of the store. In or behind an
// incomplete record it does not. Behind a store that ends with a whole record it does, by the link to that record.
func showsLoss(have walstore.Positions, at lsn.LSN) bool {
	return at < have.Complete || have.Complete == have.Received
}

// destructive reports whether p leaves WAL behind that the store has.
func destructive(have walstore.Positions, srv server, p startPoint) bool {
	fork, _, ok := srv.history.SwitchPoint(have.Timeline)
	return ok && p.timeline != have.Timeline && have.Received > fork
}

// systemDiffers is PostgreSQL's text.
const systemDiffers = "database system identifier differs between the primary and standby"

// checkIdentity returns the refusal of a server whose WAL is not that of the store, by system, size of segments and
// major version. nil: it is.
func checkIdentity(have walstore.Identity, srv server) error {
	switch {
	case have.System != srv.system:
		return systemMismatch(have, srv)
	case have.SegSize != srv.seg:
		return pgerror.New(pgerror.ObjectNotInPrerequisite,
			"WAL segment size differs between the primary and standby").
			WithDetail("The primary's is %s, the standby's is %s.", srv.seg, have.SegSize)
	case have.ServerMajor != srv.version/10000:
		return pgerror.New(pgerror.ObjectNotInPrerequisite,
			"the primary is PostgreSQL %d, the stored WAL is of PostgreSQL %d", srv.version/10000, have.ServerMajor)
	}
	return nil
}

func systemMismatch(have walstore.Identity, srv server) *pgerror.Error {
	return pgerror.New(pgerror.ObjectNotInPrerequisite, systemDiffers).
		WithDetail("The primary's identifier is %s, the standby's identifier is %s.", srv.system, have.System)
}

// sameWay compares two histories of one timeline: same parents, left at the same positions. Two
// servers that gave one number to different timelines are never chosen between (ruling R3).
func sameWay(stored, offered lsn.History) error {
	differs := len(stored.Parents) != len(offered.Parents)
	for i := 0; !differs && i < len(stored.Parents); i++ {
		a, b := stored.Parents[i], offered.Parents[i]
		differs = a.Timeline != b.Timeline || a.Switch != b.Switch
	}
	if !differs {
		return nil
	}
	return pgerror.New(pgerror.ObjectNotInPrerequisite,
		"timeline %s of the primary is not timeline %s of the stored WAL", offered.Timeline, stored.Timeline).
		WithDetail("The primary's begins at %s, the stored one at %s: two servers were promoted to one number.",
			offered.Begin(), stored.Begin())
}

// maxTimeline bounds the timeline of IDENTIFY_SYSTEM that is believed, because every number below it may cost a round
// trip: at a promotion an hour it is reached after eleven years.
const maxTimeline = 100_000

// timelinesToFetch lists those up to last whose history files are to be asked for, newest first.
func timelinesToFetch(last lsn.TimelineID, stored func(lsn.TimelineID) bool) (list []lsn.TimelineID) {
	for t := last; t >= 2; t-- {
		if !stored(t) {
			list = append(list, t)
		}
	}
	return list
}
