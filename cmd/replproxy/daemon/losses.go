package daemon

import (
	"slices"

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/cluster/loss"
	"github.com/replproxy/replproxy/fanout"
	"github.com/replproxy/replproxy/fanout/walsource"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/tcpopt"
)

// losses is the node as the hub sees it.
type losses struct{ node *cluster.Node }

func whoIs(who fanout.SessionInfo, slot string) loss.Who {
	return loss.Who{Name: who.ApplicationName, Host: tcpopt.Host(who.ClientAddr), Slot: slot}
}

// Known holds standbys back while a new data_dir may have forgotten which WAL was given up (ADR 0082).
func (l losses) Known() error { return l.node.HoldsBack() }

func (l losses) Asks(who fanout.SessionInfo, slot string) bool {
	return l.node.AsksFirst(whoIs(who, slot))
}

func (l losses) Judge(
	who fanout.SessionInfo, slot string, t lsn.TimelineID, first lsn.Progress,
) (instead bool, err error) {
	return l.node.Judge(whoIs(who, slot), t, first)
}

func (l losses) Left(who fanout.SessionInfo, slot string, t lsn.TimelineID, reported lsn.LSN) {
	l.node.Left(whoIs(who, slot), t, reported)
}

func (l losses) GaveUp(p lsn.Point) bool { return l.node.GaveUp(p) }

// giveUp notes that WAL which the primary has lost is given up and which standbys may have it, and ends their sessions.
// It must be called before the proxy follows that primary. It ends the sessions of standbys without such WAL as well:
// they are judged by their first report when they are back. With aside the store keeps that WAL until the next start.
func (p *parts) giveUp(e *walsource.LackError, aside bool) error {
	var attached []cluster.Beyond
	p.hub.EndThose(func(h fanout.Having) error {
		attached = append(attached, cluster.Beyond{Name: h.ApplicationName, Timeline: h.Timeline, LSN: h.LSN})
		return nil
	})
	if err := p.node.GiveUp(e.System, e.Of, e.From, e.To, attached, aside); err != nil {
		return err
	}
	given := loss.Loss{Timeline: e.Of, From: e.From, To: e.To}
	p.hub.EndThose(func(h fanout.Having) error {
		return given.Ends(h.ApplicationName, h.Timeline, h.LSN)
	})
	return nil
}

// gaveUp returns the members that have given up WAL in e, where this proxy has not been told.
func (p *parts) gaveUp(e *walsource.LackError) (by []string) {
	for _, l := range p.node.GivenUp() {
		if l.System == e.System && l.Timeline == e.Of && !l.Own && l.From < e.To && e.From < l.To {
			by = append(by, l.Elsewhere...)
			if len(l.Elsewhere) == 0 {
				by = append(by, "another proxy") // which is not restarted yet
			}
		}
	}
	slices.Sort(by)
	return slices.Compact(by)
}

// keepWAL ends an operator's word about WAL that the store has until the next start, and takes the loss back: a server
// that has that WAL is followed. A start calls it too, as a crash may have come in between. Without such a word it does
// nothing.
func (p *parts) keepWAL(dir string) error {
	return wordFiles{dir: dir, log: p.log}.keep(p.node.TakeBack)
}

// lossHeard ends sessions that could take WAL from here which was given up elsewhere: they are judged when they are
// back.
func (p *parts) lossHeard() {
	p.hub.EndThose(func(h fanout.Having) error { return p.node.Parted(h.Timeline, h.LSN) })
}
