package walsource

import (
	"context"

	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// Store is the part of *walstore.Store that is asked when a source is chosen, beside the part that a stream fills.
// Adopt, PutHistory, StartStream and DropIncomplete are called by one goroutine at a time, and never beside
// AppendFrom; the others by any.
type Store interface {
	walreceiver.Store
	Identity() (walstore.Identity, bool)
	Adopt(walstore.Identity) error
	HistoryFile(lsn.TimelineID) ([]byte, error)
	PutHistory(lsn.TimelineID, []byte) error
	StartStream(lsn.TimelineID, lsn.LSN) error
	// DropIncomplete takes back the WAL behind the last complete record.
	DropIncomplete() (lsn.LSN, error)
	// Repairing gives the WAL that the store owes.
	Repairing() (walstore.Repair, bool)
	// PrimaryHas notes how far the WAL of a primary goes that has all that was ever reported of the stored timeline.
	PrimaryHas(at lsn.LSN) error
	// GiveUpRepair forgets, durably, what the store owes.
	GiveUpRepair() error
	// Release lets go up to to of what HoldBack keeps, Invalid of all.
	Release(to lsn.LSN)
	// LastComplete gives the end of the last complete record at or below at on a timeline (ruling R36). It may read
	// the disk.
	LastComplete(lsn.TimelineID, lsn.LSN) (lsn.LSN, error)
	// Difference gives the first position at which WAL of the current timeline that begins at at differs from what is
	// stored, all of which is received. It may read the disk.
	Difference(at lsn.LSN, sent []byte) (d lsn.LSN, differs bool, err error)
	// Dated reports whether a transaction ends in the stored WAL from from, a segment's beginning, to to. It may read
	// the disk.
	Dated(from, to lsn.LSN) (bool, error)
}

// Acceptance is the operator's word that WAL may be given up (rulings R3, R32, R48). Any goroutine may call it.
type Acceptance interface {
	// Accepted reports whether the operator wants a server followed although it lacks e. The word holds until it is
	// used.
	Accepted(e *LackError) bool
	// Waits is told for what servers are refused now, nil: none is, and the timeline that is followed, 0: none. A word
	// about anything else is void. The last refusal is the last of all.
	Waits(followed lsn.TimelineID, all []*LackError)
	// Refused returns that of the last call of Waits, also of one before a restart, but for what is given up, and
	// losses that members told of.
	Refused() []*LackError
	// Use makes durable that the word is used, and that e is given up, also where heard was said by members. aside
	// describes the store where it has some of that WAL, nil: it has none. At the next start it sets all of its own
	// aside and begins anew, unless it has gone on until then.
	Use(e *LackError, heard []lsn.LSN, aside *Aside) error
	// GivenUp reports whether p is what a member had said when it was given up.
	GivenUp(p lsn.Point) bool
}

// Aside describes a store that has WAL which is given up, when the operator's word about that is used.
type Aside struct {
	End lsn.LSN // no WAL of the store lies beyond
	Has lsn.LSN // the server has WAL up to there, whether the same or not
}

// Logins are told that the receiver wants a walsender of the upstream's max_wal_senders, so that relayed log-ins let it
// go first. They are told the present state, often the same twice, from one goroutine. The log-in gate is meant.
type Logins interface {
	WalreceiverWaiting(waiting bool)
	// WalreceiverRefused comes instead when the upstream had no walsender left: log-ins that hold some are to let
	// go of them first, and if there are none nobody need wait.
	WalreceiverRefused()
}

// Conn is a connection to whoever sends WAL, which can be asked who it is. *walreceiver.Session is one. Its methods are
// called by one goroutine, before a stream begins and between timelines.
type Conn interface {
	walreceiver.Conn
	// IdentifySystem asks for the system, the timeline and the position. A refusal is a *pgerror.Error.
	IdentifySystem(ctx context.Context) (walreceiver.Whereabouts, error)
	// TimelineHistory asks for the content of a history file; 58P01: there is none.
	TimelineHistory(ctx context.Context, t lsn.TimelineID) ([]byte, error)
	// Settings asks for settings as SHOW has them, and leaves out what is not known. wal_segment_size and
	// server_version_num are needed.
	Settings(ctx context.Context, names []string) (map[string]string, error)
	// Break ends a stream that goes on, but for one that a refusal has ended, and drops what is still on its way.
	Break(ctx context.Context, refused bool) error
	// Virtual reports whether the other end is a proxy.
	Virtual() bool
	// SSL describes the connection's encryption; nil: none.
	SSL() *handshake.SSL
}

// Via may lead to another proxy's walsender instead of the primary's.
type Via interface {
	// Connect logs in at the member of the cluster to stream from. nil and no error: stream from the
	// primary. It waits until that is known, or ctx ends, and is called by one goroutine.
	Connect(ctx context.Context, params map[string]string) (Conn, error)
}

// Primary finds the primary while the stream comes from another proxy.
type Primary interface {
	// Watch looks for the server of that system on that timeline. It calls found at once and every few seconds as long
	// as the server is there. It returns when ctx ends, or with the reason for which the server is not there.
	Watch(ctx context.Context, system lsn.SystemID, t lsn.TimelineID, found func(upstream.Endpoint)) error
}
