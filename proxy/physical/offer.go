package physical

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"strings"
	"sync"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/authwatch"
	"github.com/replproxy/replproxy/internal/wire"
	"github.com/replproxy/replproxy/proxy/gate"
	"github.com/replproxy/replproxy/proxy/relay"
)

// maxOffers bounds the roles whose last question is remembered: those of standbys and backups are a few.
const maxOffers = 1000

// kindSASL is AuthenticationSASL (facts A7).
const kindSASL = 10

// offers remembers the primary's questions to walsenders' log-ins, so that a client can be asked before it has a place
// there. A far client then holds a walsender of the primary for one round trip, not for two. A question is the same
// for all roles, those that do not exist too, unless pg_hba.conf has several methods; then it is told for each role.
type offers struct {
	mu    sync.Mutex
	by    map[string]string // AuthenticationSASL's body; "": the primary asks otherwise
	last  string
	mixed bool
	news  chan struct{} // closed when something else may be foretold; nil: nobody waits for that
}

// offersSCRAM reports whether body is AuthenticationSASL with SCRAM-SHA-256 among its mechanisms: names that end with a
// NUL each, and an empty one behind them. What is malformed is for the client that it was meant for.
func offersSCRAM(body []byte) bool {
	if len(body) <= 4 || binary.BigEndian.Uint32(body) != kindSASL {
		return false
	}
	names, whole := strings.CutSuffix(string(body[4:]), "\x00\x00")
	all := strings.Split(names, "\x00")
	return whole && slices.Contains(all, "SCRAM-SHA-256") && !slices.Contains(all, "")
}

// note remembers the first question of a log-in.
func (o *offers) note(user string, body []byte) {
	offer := ""
	if offersSCRAM(body) {
		offer = string(body)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.by == nil || len(o.by) >= maxOffers {
		o.by = map[string]string{}
	}
	was, known := o.by[user]
	if (!known || was != offer) && o.news != nil {
		close(o.news)
		o.news = nil
	}
	o.mixed = o.mixed || len(o.by) > 0 && o.last != offer
	o.by[user], o.last = offer, offer
}

// changed returns a channel that is closed once something else may be foretold than before it was called.
func (o *offers) changed() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.news == nil {
		o.news = make(chan struct{})
	}
	return o.news
}

// forget forgets the foretold question: the primary asks otherwise now.
func (o *offers) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.by, o.last, o.mixed = nil, "", false
}

// foretell returns the question that the primary will put to a role; nil: that is not known.
func (o *offers) foretell(user string) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	offer, known := o.by[user]
	if !known && !o.mixed {
		offer = o.last
	}
	if offer == "" {
		return nil
	}
	return []byte(offer)
}

// errAsksOtherwise returns the error for a client that was asked for a proof that the primary does not want any more.
// It is that of a primary that starts: a client comes again.
func errAsksOtherwise() *pgerror.Error {
	return pgerror.Fatal(pgerror.CannotConnectNow, "the primary asks for another proof than it did before").
		WithHint("Log in again.")
}

// foretold is the question that was put to the client before there was a place, and its answer.
type foretold struct {
	question []byte
	answer   chan []byte // one, by the client's listener
	first    []byte      // that answer
}

// enter waits for a place at the gate. A client that can be asked before that is: as soon as another log-in has shown
// what the primary asks, also while it waits. Then it waits with its answer. told is nil for one that was not asked.
func (l *login) enter() (t *gate.Ticket, told *foretold, err error) {
	places := l.s.h.o.Gate
	for {
		news := l.s.h.offers.changed()
		question, body := l.foreseen()
		if question != nil {
			if t != nil {
				places.Leave(t)
			}
			l.late = nil
			if told, err = l.foretell(question, body); err != nil {
				return nil, nil, err
			}
			l.late = errQueue()
			t = places.Enter(l.s.server.Origin(), "")
			l.setTicket(t)
			return t, told, places.Wait(l.ctx, t)
		}
		l.late = errQueue()
		if t == nil {
			t = places.Enter(l.s.server.Origin(), "")
			l.setTicket(t)
		}
		select {
		case <-t.Granted():
			return t, nil, nil
		case <-news:
		case <-l.ctx.Done():
			places.Leave(t)
			return nil, nil, context.Cause(l.ctx)
		}
	}
}

// foreseen returns the question that the primary is going to ask, and the body of it that the client gets. nil: that is
// not known, or the primary's first message would be another one, for a client that negotiates the protocol.
func (l *login) foreseen() (question, body []byte) {
	question = l.s.h.offers.foretell(l.s.req.User())
	if n, _ := l.s.req.Negotiate(0); n != nil || question == nil {
		return nil, nil
	}
	step, body, err := authwatch.New(authwatch.Legs{ClientTLS: l.s.clientTLS()}).FromUpstream('R', question)
	if err != nil || step != authwatch.Ask {
		return nil, nil
	}
	return question, body
}

// foretell asks the client what the primary is going to ask, and waits for the answer.
func (l *login) foretell(question, body []byte) (*foretold, error) {
	l.noted = true
	f := &foretold{question: question, answer: make(chan []byte, 1)}
	l.foretold = f
	if err := l.s.client.put(wire.AppendFrame(nil, 'R', body)); err != nil {
		return nil, err
	}
	if err := l.s.client.flush(); err != nil {
		return nil, err
	}
	l.asks <- struct{}{}
	select {
	case f.first = <-f.answer:
		return f, nil
	case <-l.ctx.Done():
		return nil, context.Cause(l.ctx)
	}
}

// resume goes on when the primary asks a question that the client has answered already. done: it did, and the answer is
// on its way; else the message is for the client.
func (l *login) resume(f *foretold, said frame) (done bool, err error) {
	if said.typ != 'R' {
		return false, nil
	}
	if !bytes.Equal(said.body, f.question) {
		l.s.h.offers.forget()
		l.s.h.offers.note(l.s.req.User(), said.body)
		return false, errAsksOtherwise()
	}
	if _, _, err := l.watch.FromUpstream('R', said.body); err != nil {
		return false, err
	}
	if err := l.watch.FromClient('p', f.first); err != nil {
		return false, err
	}
	if _, err := l.link.up.Conn.Write(wire.AppendFrame(nil, 'p', f.first)); err != nil {
		return false, relay.Unreachable(err)
	}
	return true, nil
}
