package realslot

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/upstream"
)

const (
	// raiseInterval spaces the messages that give this proxy's slot a newer horizon: dead rows stay that much longer.
	// Each costs the primary two log-ins.
	raiseInterval = time.Minute
	// tellDelay is the least time between two tellings, also of an older horizon: a standby that changes its mind
	// without pause must not make a log-in of each.
	tellDelay = time.Second
	// lastTelling bounds the last update of the slot when the proxy ends.
	lastTelling = 3 * time.Second
)

// Horizon holds the oldest xmin and catalog_xmin that anybody needs, 0 for none.
type Horizon struct{ Xmin, CatalogXmin copyboth.FullXID }

func (h Horizon) message() []byte {
	return copyboth.HotStandbyFeedback{Xmin: h.Xmin, CatalogXmin: h.CatalogXmin}.Append(nil)
}

// bearing decides when this proxy's slot is told what standbys' slots bear (ruling R44). It is pure. The zero value has
// told nothing.
type bearing struct {
	raised time.Time // when the slot was told a newer horizon last
	told   time.Time // when it was told any
}

// need compares the horizon that a slot bears with the one that it should bear.
type need struct {
	have, want Horizon
	settled    bool // what it bears may be raised: everybody had the time to come back, and the stream bears the rest
	last       bool // there will be no later time
}

// step lists the horizons to be set at the slot now, in order; none: all is well, or it is not the time. An older
// value, or the first one, is told at once. A newer one, or none, comes when it has been a while since the last such.
// PostgreSQL lets a slot's value only rise, so where it is to fall none is said first, and for that column alone.
func (b *bearing) step(now time.Time, n need) (say []Horizon) {
	if !n.last && now.Sub(b.told) < tellDelay {
		return nil
	}
	raise := n.settled && (n.last || now.Sub(b.raised) >= raiseInterval)
	to, first := n.have, n.have
	falls := false
	for _, c := range []struct {
		have, want copyboth.FullXID
		to, first  *copyboth.FullXID
	}{
		{n.have.Xmin, n.want.Xmin, &to.Xmin, &first.Xmin},
		{n.have.CatalogXmin, n.want.CatalogXmin, &to.CatalogXmin, &first.CatalogXmin},
	} {
		switch {
		case c.want != 0 && c.have != 0 && c.want < c.have:
			*c.to, *c.first, falls = c.want, 0, true
		case c.want != 0 && c.have == 0 || raise:
			*c.to = c.want
		}
	}
	if to == n.have {
		return nil
	}
	if falls {
		say = append(say, first)
	}
	return append(say, to)
}

// said notes that the slot was told to.
func (b *bearing) said(now time.Time, have, to Horizon) {
	b.told = now
	if newer(have.Xmin, to.Xmin) || newer(have.CatalogXmin, to.CatalogXmin) {
		b.raised = now
	}
}

// newer reports whether b holds back less than a. 0 holds back nothing.
func newer(a, b copyboth.FullXID) bool { return a != 0 && (b == 0 || b > a) }

// need returns the part of the horizon that the slot lacks. last: the proxy ends, so nothing is waited for. Another
// slot bears the horizon where another member of the cluster streams from the primary, or the stream has a slot as its
// rule gate. Until another slot there does, ours goes on to bear what it bears.
func (o *ProxySlot) need(own shownSlot, last bool) need {
	n := need{have: own.horizon, last: last, settled: true}
	if o.o.Horizon != nil {
		n.want, n.settled = o.o.Horizon()
	}
	n.settled = n.settled && (last || o.o.FeedbackSent())
	if o.borneElsewhere() {
		if own.othersBear(n.want) {
			n.want = Horizon{}
		}
		// and nothing begins to be borne here
		if n.have.Xmin == 0 {
			n.want.Xmin = 0
		}
		if n.have.CatalogXmin == 0 {
			n.want.CatalogXmin = 0
		}
	}
	return n
}

// othersBear reports whether a slot that is not this proxy's bears the horizon.
func (s shownSlot) othersBear(h Horizon) bool {
	for _, other := range s.others {
		if holds(other.Xmin, h.Xmin) && holds(other.CatalogXmin, h.CatalogXmin) {
			return true
		}
	}
	return false
}

// errLastWalsender: commits and backups go first.
var errLastWalsender = errors.New("the primary has no walsender to spare (max_wal_senders)")

// tell has the slot bear what it is to bear. It needs a walsender of the primary for a moment, never the last free one
// (ruling R25), and a slot that nobody uses. It reports whether it told anything. For last see need.
func (o *ProxySlot) tell(ctx context.Context, c Connector, own shownSlot, last bool) (bool, error) {
	if !own.reserves() || !own.ours() || own.ActivePID != 0 {
		return false, nil
	}
	now := time.Now()
	say := o.bearing.step(now, o.need(own, last))
	if len(say) == 0 {
		return false, nil
	}
	if own.walsenders < 2 {
		return false, errLastWalsender
	}
	messages := make([][]byte, len(say))
	for i, h := range say {
		messages[i] = h.message()
	}
	start := o.o.Flushed()
	if start == lsn.Invalid {
		start = own.Restart
	}
	if err := moment(ctx, c, o.o.Slot, start, messages...); err != nil {
		return false, fmt.Errorf("have the slot bear what standbys' slots need: %w", err)
	}
	o.bearing.said(now, own.horizon, say[len(say)-1])
	return true, nil
}

// tellNow reports whether the slot is to be told something, by what was seen of it last.
func (o *ProxySlot) tellNow(now time.Time) bool {
	return len(o.bearing.step(now, o.need(o.last, false))) > 0
}

// lastWords has the slot bear no more than it must while the proxy is away. The server is asked only for a moment: what
// the slot bears is right as it is, if older.
func (o *ProxySlot) lastWords(ctx context.Context, w server) {
	ctx, cancel := context.WithTimeout(ctx, lastTelling)
	defer cancel()
	if len(o.bearing.step(time.Now(), o.need(o.last, true))) == 0 {
		return
	}
	to := verified{o.o.Upstream, w}
	s, err := sql(ctx, to)
	if err == nil {
		defer s.Close()
		var own shownSlot
		if own, err = o.look(ctx, s); err == nil {
			_, err = o.tell(ctx, to, own, true)
		}
	}
	if err != nil {
		o.o.Logger.Info("the slot on the primary goes on bearing an older horizon", "slot", o.o.Slot,
			"err", pgerror.Describe(err))
	}
}

// Bears asks the server at e which xmin and catalog_xmin the slot holds there. A slot that is not there holds none: 0.
func (o *ProxySlot) Bears(ctx context.Context, e upstream.Endpoint) (copyboth.HotStandbyFeedback, error) {
	s, err := o.connect(ctx, e)
	if err != nil {
		return copyboth.HotStandbyFeedback{}, err
	}
	defer s.Close()
	own, err := o.look(ctx, s)
	return copyboth.HotStandbyFeedback{Xmin: own.horizon.Xmin, CatalogXmin: own.horizon.CatalogXmin}, err
}

// Bearing reports whether this proxy itself tells the slot which xmin and catalog_xmin it is to hold back on the
// primary, and has had no error from that.
func (o *ProxySlot) Bearing() bool {
	return o.Status().TellErr == "" && !o.borneElsewhere()
}

// borneElsewhere reports whether another member's stream bears the horizon, or the rule gate that this proxy's stream
// uses.
func (o *ProxySlot) borneElsewhere() bool {
	return o.elsewhere() || o.o.RuleGated != nil && o.o.RuleGated()
}

// elsewhere reports whether this proxy streams from another member of the cluster.
func (o *ProxySlot) elsewhere() bool {
	if o.o.Streams == nil {
		return false
	}
	member, _ := o.o.Streams()
	return member != ""
}

// CatalogXmin returns the slot's catalog_xmin when it was seen last, while it is held; 0 is none.
func (o *ProxySlot) CatalogXmin() copyboth.FullXID {
	return copyboth.FullXID(o.catalog.Load())
}
