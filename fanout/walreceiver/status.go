package walreceiver

import (
	"maps"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/histogram"
)

// State is the state of the connection to the upstream.
type State string

// The states of a receiver.
const (
	Disconnected State = "disconnected"
	Connecting   State = "connecting"
	Streaming    State = "streaming"
)

// SlotState is the state of the slot on the upstream at the last connection.
type SlotState string

// The states of the slot.
const (
	SlotNone      SlotState = "none"      // streaming without one
	SlotUnknown   SlotState = "unknown"   // not connected yet
	SlotFound     SlotState = "found"     // it existed
	SlotCreated   SlotState = "created"   // it was missing and was made
	SlotRecreated SlotState = "recreated" // it reserved nothing, or was invalidated, and was made anew
	SlotBusy      SlotState = "busy"      // another session holds it
	SlotDropped   SlotState = "dropped"   // it was there, somebody dropped it, and it was made anew
	SlotForeign   SlotState = "foreign"   // somebody made a logical one of its name: streaming without one
)

// Status is a snapshot for /status, /readyz and for the answers that the proxy gives from cache. The
// maps are the caller's.
type Status struct {
	State       State
	Endpoint    upstream.Endpoint // of the last log-in
	Member      string            // the member of the cluster that it is; "": a server
	SSL         *handshake.SSL    // of that connection; nil in clear, or to a member
	Since       time.Time         // of State
	Ended       time.Time         // of the last stream that brought something, or the first failure; zero: neither
	LastMessage time.Time         // last WAL message or keepalive; zero before the first
	System      lsn.SystemID
	Timeline    lsn.TimelineID // that is streamed
	Received    lsn.LSN        // on this connection
	UpstreamEnd lsn.LSN        // what the upstream said it could send: to show lag, nothing else
	Reported    lsn.Progress   // what the upstream was told on this connection; 0: nothing

	ServerVersion    string            // "15.20 (Debian 15.20-1.pgdg13+1)"
	ServerVersionNum int               // 150020; 0 before the first connection
	Parameters       map[string]string // ParameterStatus of the upstream
	Settings         map[string]string // SHOW answers of the upstream, see [Settings]

	Slot      string
	SlotState SlotState
	SlotLSN   lsn.LSN   // its restart_lsn when the connection began
	SlotDrops int64     // connections that found it gone, see SlotDropped
	DroppedAt time.Time // the last of them
	SlotApart bool      // it is advanced by SQL to what is flushed, and does not follow the reports

	RuleGated      bool // the stream uses the slot of slots.rule_gate
	ruleGateUsable bool // it could

	Mirrors MirrorState // on the server that is streamed from

	FeedbackSent bool    // feedback was sent on this connection
	Ruled        bool    // a rule limits the reports
	Written      bool    // Options.Written is in force (ruling R42)
	Promised     lsn.LSN // highest position ever reported under a rule
	Pings        uint64  // replies that the upstream has requested
	Reports      uint64  // status updates sent
	Bytes        uint64  // of WAL that came
	// Waits counts how long WAL took from its arrival to the report that it is flushed.
	Waits            histogram.Snapshot
	ShutdownReleases uint64 // reports beyond the rule that let an upstream shut down (ruling R11)

	// Uncompared holds the end of the stored WAL from when a primary was followed that had removed all of it, so that
	// no stored record was seen again. Invalid: it was compared. It holds until a later stream has compared.
	Uncompared lsn.LSN

	LastError           string // why the last attempt or connection ended; "" while none has
	InvariantViolations int    // reports that were refused by ourselves
}

// Status takes a snapshot. It never blocks for long and may be called from any goroutine.
func (r *Receiver) Status() Status {
	r.mu.Lock()
	s := r.status
	s.Parameters, s.Settings = maps.Clone(s.Parameters), maps.Clone(s.Settings)
	live := r.live
	r.mu.Unlock()
	s.Ruled, s.Promised = r.Ruled(), r.promise.highest()
	s.Pings, s.Reports = r.totals.pings.Load(), r.totals.reports.Load()
	s.ShutdownReleases = r.totals.shutdownReleases.Load()
	s.Bytes, s.Waits = r.totals.bytes.Load(), r.totals.waits.Snapshot()
	if live != nil {
		s.Received = live.receivedEnd()
		s.UpstreamEnd = lsn.LSN(live.upstreamEnd.Load())
		s.LastMessage = live.lastMessage()
		s.Reported, s.FeedbackSent, s.Written = live.reported(), live.feedbackSent.Load(), live.written.Load()
	}
	return s
}

// State returns Status().State, cheaply.
func (r *Receiver) State() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status.State
}

// ServerVersionNum returns Status().ServerVersionNum, cheaply.
func (r *Receiver) ServerVersionNum() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status.ServerVersionNum
}

// Follows returns the server and the timeline that the stream is of, and the member of the cluster that it is; "": it
// is none. flows is true while WAL comes. Any goroutine may call it.
func (r *Receiver) Follows() (e upstream.Endpoint, system lsn.SystemID, t lsn.TimelineID, member string, flows bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.status
	return s.Endpoint, s.System, s.Timeline, s.Member, s.State == Streaming
}

// Streams reports whether WAL comes in, and from which member of the cluster; "" is a server.
func (r *Receiver) Streams() (member string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status.Member, r.status.State == Streaming
}

// Update changes the status by f, which must not block. Any goroutine may call it.
func (r *Receiver) Update(f func(*Status)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.status)
}

func (r *Receiver) setState(s State) {
	now := time.Now()
	r.Update(func(st *Status) {
		if st.State != s {
			st.State, st.Since = s, now
		}
		if s == Disconnected && (st.Ended.IsZero() || st.LastMessage.After(st.Ended)) {
			st.Ended = now
		}
	})
}

// setLive names the stream from which Status reads the newest positions. nil: the stream has ended, and Status keeps
// showing its last values. One goroutine at a time may call it.
func (r *Receiver) setLive(l *live) {
	last := r.Status()
	r.mu.Lock()
	defer r.mu.Unlock()
	if l == nil && r.live != nil {
		r.status.UpstreamEnd, r.status.LastMessage = last.UpstreamEnd, last.LastMessage
	}
	r.live = l
}
