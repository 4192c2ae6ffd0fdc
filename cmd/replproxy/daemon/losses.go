package daemon

import (
	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/cluster/loss"
	"github.com/replproxy/replproxy/fanout"
	"github.com/replproxy/replproxy/fanout/walsource"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/grammar/syncrep"
	"github.com/replproxy/replproxy/internal/tcpopt"
	"github.com/replproxy/replproxy/proxy/report"
)

// losses is the node as the hub sees it.
type losses struct{ node *cluster.Node }

func whoIs(who fanout.SessionInfo, slot string) loss.Who {
	return loss.Who{Name: who.ApplicationName, Host: tcpopt.Host(who.ClientAddr), Slot: slot}
}

// Known holds standbys back while a new data_dir may have forgotten which WAL was given up (ADR 0082).
func (l losses) Known() error {
	members, waits := l.node.Newcomer()
	if !waits {
		return nil
	}
	return pgerror.New(pgerror.CannotConnectNow, "the database system is starting up").
		WithDetail("replproxy's %s.", report.HeldBack(waits, members))
}

func (l losses) Asks(who fanout.SessionInfo, slot string) bool {
	return l.node.AsksFirst(whoIs(who, slot))
}

func (l losses) Judge(who fanout.SessionInfo, slot string, first lsn.Progress) error {
	x, here := l.node.Judge(whoIs(who, slot), first)
	switch {
	case here && x.Own:
		return pgerror.New(pgerror.ObjectNotInPrerequisite,
			"this proxy still has WAL beyond %s of timeline %s, which was given up", x.From, x.Timeline).
			WithHint("Restart the proxy: it then sets that WAL aside.")
	case here:
		return pgerror.New(pgerror.ObjectNotInPrerequisite,
			"this proxy still has WAL beyond %s of timeline %s, which was given up on another one", x.From, x.Timeline).
			WithHint("Give it up here too: replproxy accept-timeline %s.", x.Timeline)
	case x != nil:
		return errBeyond(who.ApplicationName, max(first.Write, first.Flush, first.Apply), x.Timeline, x.From, x.To)
	}
	return nil
}

func (l losses) Left(who fanout.SessionInfo, slot string, t lsn.TimelineID, reported lsn.LSN) {
	l.node.Left(whoIs(who, slot), t, reported)
}

// errBeyond refuses a standby that may have WAL which was given up.
func errBeyond(name string, has lsn.LSN, t lsn.TimelineID, from, to lsn.LSN) error {
	return pgerror.New(pgerror.ObjectNotInPrerequisite,
		"standby \"%s\" may have WAL beyond %s of timeline %s, which was given up", name, from, t).
		WithDetail("It has WAL up to %s. The primary has come back without what it had up to %s, and has written "+
			"other WAL since.", has, to).
		WithHint("Make it anew from a base backup that begins beyond %s; if it is made anew already, say so: "+
			"replproxy made-anew %s.", to, syncrep.QuoteName(name))
}

// giveUp notes who may have WAL that the primary has lost, and ends the sessions of those standbys. It must be called
// before the proxy follows that primary. It ends the sessions of standbys without such WAL as well: they are judged by
// their first report when they are back. With aside the store keeps that WAL until the next start.
func (p *parts) giveUp(e *walsource.LackError, aside bool) error {
	var attached []cluster.Beyond
	p.hub.EndThose(func(h fanout.Having) error {
		attached = append(attached, cluster.Beyond{Name: h.ApplicationName, Timeline: h.Timeline, LSN: h.LSN})
		return nil
	})
	if err := p.node.GiveUp(e.System, e.Of, e.From, e.To, attached, aside); err != nil {
		return err
	}
	p.hub.EndThose(func(h fanout.Having) error {
		switch {
		case h.Timeline != e.Of:
			return nil
		case h.LSN <= e.From:
			return pgerror.Fatal(pgerror.AdminShutdown, "terminating connection due to administrator command")
		}
		return errBeyond(h.ApplicationName, h.LSN, e.Of, e.From, e.To)
	})
	return nil
}

// lossHeard ends sessions that could take WAL from here which was given up elsewhere: they are judged when they are
// back.
func (p *parts) lossHeard() {
	p.hub.EndThose(func(h fanout.Having) error {
		if !p.node.Parted(h.Timeline, h.LSN) {
			return nil
		}
		return pgerror.Fatal(pgerror.AdminShutdown, "terminating connection due to administrator command")
	})
}
