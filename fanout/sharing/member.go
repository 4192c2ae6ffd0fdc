package sharing

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/replproxy/replproxy/fanout/slot/shared"
	"github.com/replproxy/replproxy/internal/deadline"
	"github.com/replproxy/replproxy/internal/nudge"
)

const (
	firstBackoff = 250 * time.Millisecond
	lastBackoff  = 10 * time.Second
	// maxSaid bounds the entries that are remembered of a member: twice the number that it can have at a time.
	maxSaid = 2 * shared.MaxEntries
)

// member has the connection on which another proxy of the cluster is asked, and what is known of what that proxy has.
// Make it with newMember.
type member struct {
	name  string
	nudge nudge.Chan
	turn  chan struct{} // room for one: whoever has put a token in owns conn
	conn  net.Conn      // nil: none
	// version is the message version that was agreed on for conn.
	version byte

	mu      sync.Mutex
	said    map[string]shared.State
	kept    map[string]bool // what it keeps
	saidWe  map[string]bool // what it was told that we keep
	all     time.Time       // when everything was said; zero: not on this connection
	conns   int             // of it, here
	backoff time.Duration
	again   time.Time // not before
	last    time.Time // when it was told last
	known   bool      // since the start
	why     string    // the last failure; "" after a success
}

func newMember(name string) *member {
	return &member{
		name: name, nudge: nudge.New(), turn: make(chan struct{}, 1), said: map[string]shared.State{},
		kept: map[string]bool{}, saidWe: map[string]bool{}, why: "not reached yet",
	}
}

// call asks one question and returns its answer. Questions go one after the other; ctx bounds all of it.
func (m *member) call(ctx context.Context, members Members, msg shared.Message) (shared.Message, error) {
	select {
	case m.turn <- struct{}{}:
	case <-ctx.Done():
		return shared.Message{}, context.Cause(ctx)
	}
	defer func() { <-m.turn }()
	if m.conn == nil {
		conn, protocol, err := members.Open(ctx, m.name, Protocols()...)
		if err != nil {
			return shared.Message{}, err
		}
		m.conn, m.version = conn, versionOf(protocol)
		m.mu.Lock()
		m.all = time.Time{}
		m.mu.Unlock()
	}
	conn := m.conn
	stop := deadline.By(ctx, func(time.Time) error { return conn.Close() })
	err := write(conn, m.version, msg)
	var answer shared.Message
	if err == nil {
		answer, err = read(conn, m.version, askTimeout)
	}
	if err == nil && answer.Wish != msg.Wish {
		err = shared.ErrEncoding
	}
	if struck := stop(); err != nil || struck {
		_ = m.conn.Close()
		m.conn = nil
	}
	return answer, err
}

// close ends the connection when nobody uses it any more.
func (m *member) close() {
	m.turn <- struct{}{}
	defer func() { <-m.turn }()
	if m.conn != nil {
		_ = m.conn.Close()
		m.conn = nil
	}
}

// due reports whether it is time to tell the member, or to try again; nudged: there are news that do not wait.
func (m *member) due(now time.Time, nudged bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !now.Before(m.again) && (nudged || m.why != "" || now.Sub(m.last) >= tellInterval)
}

// met reports whether the member was reached since the start.
func (m *member) met() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.known
}

// failed takes the result of telling m; nil: it worked. It reports whether err is news, and sets when to try again.
func (m *member) failed(now time.Time, err error) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = now
	if err == nil {
		m.backoff, m.why, m.again, m.known = 0, "", time.Time{}, true
		return false
	}
	news := m.why == "" || m.why != err.Error() && m.backoff == 0
	m.backoff = min(max(2*m.backoff, firstBackoff), lastBackoff)
	m.again, m.why = now.Add(m.backoff), err.Error()
	return news
}

func (m *member) problem() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.why
}

func (m *member) wantsAll(now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return now.Sub(m.all) >= resyncInterval
}

// unconfirmed returns the entries that the member has not confirmed as they are; with all: every one.
func (m *member) unconfirmed(entries []shared.Entry, all bool) (news []shared.Entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range entries {
		if all || shared.Compare(m.said[e.Name], e.State) < 0 || m.saidWe[e.Name] != e.Keeps {
			news = append(news, e)
		}
	}
	return news
}

// told notes a message that m has answered.
func (m *member) told(now time.Time, msg shared.Message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if msg.All {
		m.all = now
		clear(m.saidWe)
	}
	for _, e := range msg.Entries {
		m.saidWe[e.Name] = e.Keeps
	}
}

// heard notes the states that m says it has.
func (m *member) heard(msg shared.Message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if msg.All || len(m.said) > maxSaid {
		clear(m.said)
		clear(m.kept)
	}
	for _, e := range msg.Entries {
		if e.Generation != 0 {
			m.said[e.Name], m.kept[e.Name] = e.State, e.Keeps
		}
	}
}

func (m *member) keeps(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.kept[name]
}

func (m *member) behind(known shared.State) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	said := m.said[known.Name]
	said.Stamp, known.Stamp = 0, 0 // how far it is moves all the time
	said.Restart, said.Xmin, said.Catalog = known.Restart, known.Xmin, known.Catalog
	said.ActivePID, said.Idle, said.Real, said.Created = known.ActivePID, known.Idle, known.Real, known.Created
	return known.Generation != 0 && shared.Compare(said, known) < 0
}
