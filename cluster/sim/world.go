package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/cluster/quorum"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Virtual time, in milliseconds.
const (
	duration      = 22_000 // of one seed
	calmAfter     = 14_000 // then nothing breaks any more, and commits must get through
	timeout       = 1_600  // wal_sender_timeout and wal_receiver_timeout
	tick          = 300    // of servers and proxies: status interval, signs of life, reconnects
	maxTraceLines = 200
)

const system = lsn.SystemID(42)

// world is everything; only its event loop touches it.
type world struct {
	rng    *rand.Rand
	beside *rand.Rand // of what came later: other worlds stay as they were
	fault  Fault
	now    int64
	queue  events
	order  uint64 // breaks ties between events of one instant

	servers []*server
	proxies []*proxy
	blocked [][]bool // from, to; the operator is the last
	calm    bool     // the phase without faults
	dark    bool     // see darken

	forks    []fork // by branch; the first two are no forks
	texts    []parsed
	official lsn.TimelineID             // the newest timeline that the recipe made, or the first
	given    []lsn.TimelineID           // branches of primaries that lost WAL and were accepted all the same
	acked    map[lsn.TimelineID]lsn.LSN // the highest acknowledged commit of each that nobody has given up
	op       operator
	recent   []uint64 // incarnations of the youngest sessions

	stats  Stats
	traced bool
	trace  []string
	bad    error
}

// Stats count the events of a run, so that a run that proves nothing is seen.
type Stats struct {
	Steps, Commits, Acked, Reports, Promotions, NotProven, Crashes, Rules, Rewinds, Reverted, Wiped, Mistakes int
	Split, Mended, Differed, Accepted, GivenUp, Refused, MadeAnew, Covered, Unmounted, Owing, Asking          int
}

type event struct {
	at    int64
	order uint64
	do    func()
}

type events []event

func (q events) before(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].order < q[j].order
}

// push and pop are those of container/heap, without its allocations.
func (q *events) push(e event) {
	h := append(*q, e)
	for i := len(h) - 1; i > 0; {
		up := (i - 1) / 2
		if !h.before(i, up) {
			break
		}
		h[i], h[up] = h[up], h[i]
		i = up
	}
	*q = h
}

func (q *events) pop() event {
	h := *q
	first, last := h[0], len(h)-1
	h[0], h[last] = h[last], event{}
	h = h[:last]
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < last; child++ {
			if h.before(child, least) {
				least = child
			}
		}
		if least == i {
			break
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
	*q = h
	return first
}

// after runs do in d milliseconds.
func (w *world) after(d int64, do func()) {
	w.order++
	w.queue.push(event{w.now + d, w.order, do})
}

// between returns a random number in [a, b].
func (w *world) between(a, b int64) int64 { return a + w.rng.Int64N(b-a+1) }

// chance returns true once in n.
func (w *world) chance(n int) bool { return w.rng.IntN(n) == 0 }

func (w *world) clock(skew int64) time.Time {
	return time.Unix(1e9, 0).Add(time.Duration(w.now+skew) * time.Millisecond)
}

func (w *world) log(format string, args ...any) {
	if !w.traced {
		return
	}
	if len(w.trace) == maxTraceLines {
		w.trace = append(w.trace[:0], w.trace[maxTraceLines/2:]...)
	}
	w.trace = append(w.trace, fmt.Sprintf("%6d ", w.now)+fmt.Sprintf(format, args...))
}

// What can be violated.
var (
	ErrLost     = errors.New("an acknowledged commit is lost (G2)")
	ErrCovered  = errors.New("a report is not covered (G1)")
	ErrOwn      = errors.New("a report exceeds the own store")
	ErrFence    = errors.New("a fenced node reports")
	ErrCompare  = errors.New("a report before rules were compared")
	ErrFirst    = errors.New("a voter of higher priority is passed over")
	ErrMixed    = errors.New("a standby gets other WAL than that which it has")
	ErrAhead    = errors.New("a standby that gets what is covered is ahead of a failover")
	ErrStuck    = errors.New("nothing gets through although all is well")
	ErrInternal = errors.New("the simulated or the real code contradicts itself")
)

// violated ends the run.
func (w *world) violated(what error, format string, args ...any) {
	if w.bad == nil {
		w.bad = fmt.Errorf("%w: %s", what, fmt.Sprintf(format, args...))
		w.log("VIOLATED: %v", w.bad)
	}
}

// reaches reports whether a packet from a gets to b now.
func (w *world) reaches(a, b int) bool { return !w.blocked[a][b] }

func (w *world) bothWays(a, b int) bool { return w.reaches(a, b) && w.reaches(b, a) }

// message is an item as a link carries it.
type message struct {
	b     []byte
	older int // so much of it goes to a member of message version 1; none: it does not get it
	read  *[link.Newest + 1]any
}

func newMessage(b []byte, older int) message { return message{b, older, &[link.Newest + 1]any{}} }

// decoded returns the message as a member reads it in a message version, the same for all.
func (m message) decoded(version int) (any, error) {
	if m.read[version] == nil {
		x, err := vote.Decode(m.b, version)
		if err != nil {
			return nil, err
		}
		m.read[version] = x
	}
	return m.read[version], nil
}

// parsed is a ruleText that was parsed.
type parsed struct {
	vote.RuleText
	is quorum.Rule
}

func (w *world) parsed(v vote.RuleText) quorum.Rule {
	for i := range w.texts {
		if w.texts[i].Same(v) {
			return w.texts[i].is
		}
	}
	d, err := ledger.Parse(v)
	if err != nil {
		w.violated(ErrInternal, "rule %q: %v", v.Names, err)
	}
	w.texts = append(w.texts, parsed{v, d})
	return d
}

// datagram carries a cluster message: late, twice, in any order, or never.
func (w *world) datagram(from, to *proxy, m message, with func(*proxy)) {
	version := min(from.release, to.release)
	if version == link.Oldest {
		m.b = m.b[:m.older]
	}
	if len(m.b) == 0 {
		return
	}
	boot, life, copies := from.boot, to.boot, 1
	if !w.calm && w.chance(12) {
		copies = w.rng.IntN(3)
	}
	for range copies {
		delay := w.between(1, 20)
		if !w.calm && w.chance(10) {
			delay = w.between(20, 3000)
		}
		w.after(delay, func() {
			// In a blackout it matters that a connection ends with both of its processes.
			if to.up && (to.boot == life || !w.dark) && w.reaches(from.id, to.id) {
				m, err := m.decoded(version)
				if err != nil {
					w.violated(ErrInternal, "%s can't read what %s wrote: %v", to.name, from.name, err)
					return
				}
				if with != nil {
					with(to)
				}
				if to.up {
					to.hear(from, boot, m)
				}
			}
		})
	}
}

// pipe is a TCP connection: in order each way, as late as the network likes. An end that crashed or closed
// hears nothing any more; what it had written before still arrives at the other end.
type pipe struct {
	w     *world
	ids   [2]int
	queue [2][]func()
	busy  [2]bool
	gone  [2]bool
}

// send queues a message for end to.
func (p *pipe) send(to int, do func()) {
	if p.gone[to] {
		return
	}
	p.queue[to] = append(p.queue[to], do)
	if !p.busy[to] {
		p.busy[to] = true
		p.w.after(p.w.between(1, 15), func() { p.pump(to) })
	}
}

func (p *pipe) pump(to int) {
	if p.gone[to] || len(p.queue[to]) == 0 {
		p.busy[to], p.queue[to] = false, nil
		return
	}
	if !p.w.reaches(p.ids[1-to], p.ids[to]) {
		p.w.after(p.w.between(20, 200), func() { p.pump(to) }) // retransmission
		return
	}
	do := p.queue[to][0]
	p.queue[to] = p.queue[to][1:]
	do()
	p.w.after(p.w.between(0, 5), func() { p.pump(to) })
}

// close ends end i; the other end hears of it by fin, after everything before.
func (p *pipe) close(i int, fin func()) {
	if p.gone[i] {
		return
	}
	p.send(1-i, fin)
	p.gone[i] = true
}
