package walsource

import (
	"maps"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// unlike holds that a server was found not to have WAL that this proxy had.
type unlike struct {
	lack   LackError // of the server on its timeline at that time; on a later one it is looked at again
	print  lsn.Print
	looked time.Time
	cut    bool // a comparison took its session with it: it is not repeated, see partBefore
}

// unlikeFor bounds how long a look counts at elections: so long another host is taken. It outlasts the waits between
// attempts. When the server is tried, it is looked at again sooner.
const unlikeFor = 2 * partingDelay

// fresh reports whether the look is so young that it is not repeated. Another server may be at that address by now.
func (u unlike) fresh() bool { return time.Since(u.looked) < partingDelay }

// same reports whether srv may be that server, on that timeline, and p the WAL that was looked for.
func (u unlike) same(srv server, p lsn.Print) bool {
	return u.lack.System == srv.system && u.lack.Timeline == srv.timeline && u.print == p
}

// differs notes by lack that srv was found not to have the WAL that p names.
func (r *Supply) differs(srv server, p lsn.Print, lack *LackError) {
	found := unlike{lack: *lack, print: p, looked: time.Now()}
	r.changeUnlike(func(all map[string]unlike) { all[srv.endpoint] = found })
	if lack.Lost {
		r.lostWAL(srv, lack)
	}
}

// changeUnlike has change change what the last looks have found, by endpoint.
func (r *Supply) changeUnlike(change func(all map[string]unlike)) {
	all := map[string]unlike{}
	if was := r.unlike.Load(); was != nil {
		all = maps.Clone(*was)
	}
	change(all)
	r.unlike.Store(&all)
}

// lookedAt reports whether srv was looked at less than partingDelay ago, and did not have the WAL that p names.
func (r *Supply) lookedAt(srv server, p lsn.Print) bool {
	all := r.unlike.Load()
	if all == nil {
		return false
	}
	u, known := (*all)[srv.endpoint]
	return known && u.fresh() && u.same(srv, p)
}

// remember puts into k what was found out about servers before. had is the WAL that they are looked at for now.
func (r *Supply) remember(k *knowledge, had lsn.Print) {
	if lost := r.lost.Load(); lost != nil {
		k.lost = *lost
	}
	if partings := r.partings.Load(); partings != nil {
		k.partings = *partings
	}
	k.unlike = nil
	if all := r.unlike.Load(); all != nil {
		k.unlike = maps.Clone(*all)
		maps.DeleteFunc(k.unlike, func(_ string, u unlike) bool {
			return time.Since(u.looked) >= unlikeFor || u.print != had
		})
	}
}

// differed returns the WAL that srv lacks by the last comparison of its bytes. nil: no difference was found, or it is a
// primary that lost WAL of its own timeline, which is in k.lost.
func (k knowledge) differed(srv server) *LackError {
	u, known := k.unlike[srv.endpoint]
	if !known || u.lack.Lost && !srv.sendsOthers() || u.lack.System != srv.system || u.lack.Timeline != srv.timeline {
		return nil
	}
	return &u.lack
}

// join returns one refusal that has e and other, either of which may be nil: a word that the operator gives for it
// covers both. Of different timelines it is the one that reaches farther.
func (e *LackError) join(other *LackError) *LackError {
	switch {
	case e == nil && other == nil:
		return nil
	case e == nil:
		both := *other
		return &both
	case other == nil:
		return e
	case e.Of != other.Of && e.To < other.To:
		return other.join(nil)
	case e.Of != other.Of:
		return e
	}
	both := *e
	if both.From = min(e.From, other.From); other.To > e.To {
		both.To, both.By = other.To, other.By
	}
	return &both
}

// upTo returns a copy of e, which ends farther where other, of the same timeline, does. An end that nobody knows is
// none. Neither may be nil.
func (e *LackError) upTo(other *LackError) *LackError {
	far := *e
	if other.Of == e.Of && other.To != walstore.PromisedAll {
		far.To = max(far.To, other.To)
	}
	return &far
}

// reaches reports whether e refuses a server for all that it lacks up to to.
func (e *LackError) reaches(to lsn.LSN) bool { return e != nil && e.To >= to }
