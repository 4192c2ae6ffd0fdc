package walsource

import (
	"errors"
	"maps"
	"slices"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/knownwal"
)

// lostAt holds the lost WAL for which servers were refused, by endpoint. A list is never changed in place.
type lostAt map[string][]knownwal.Known

// without takes the entries that drop names out of the list of an endpoint.
func (a lostAt) without(endpoint string, drop func(knownwal.Known) bool) {
	if a[endpoint] = slices.DeleteFunc(slices.Clone(a[endpoint]), drop); len(a[endpoint]) == 0 {
		delete(a, endpoint)
	}
}

// lostWAL remembers that srv was refused for WAL that it has lost, by the WAL that this proxy has or had. An empty
// store can't tell by bytes. The position is reached again by other WAL, most likely that of the commits that wait.
func (r *Supply) lostWAL(srv server, err error) {
	var e *LackError
	if !errors.As(err, &e) || !e.Lost {
		return
	}
	r.locked(func() { r.lostBy = &LostBy{srv.endpoint, *e} })
	if e.By != "" {
		return
	}
	p := lsn.Point{System: srv.system, Timeline: e.Of, LSN: e.To}
	r.changeLost(func(all lostAt) {
		all[srv.endpoint] = []knownwal.Known{{Point: p, Complete: true, Lost: true, From: e.From}}
	})
}

// changeLost has change change what is remembered of servers that were refused, by endpoint.
func (r *Supply) changeLost(change func(all lostAt)) {
	all := lostAt{}
	if was := r.lost.Load(); was != nil {
		all = maps.Clone(*was)
	}
	change(all)
	r.lost.Store(&all)
}

// anyEndpoint stands for whichever server was refused before this start.
const anyEndpoint = ""

// recall takes up the refusals that were noted before this start. A store that is emptied meanwhile can't tell by
// bytes, and the primary may have written as much other WAL since. The member that knows of acknowledged WAL may be
// away by now.
func (r *Supply) recall() {
	var recalled, lost []knownwal.Known
	for _, e := range r.o.Accept.Refused() {
		unknown := e.To == walstore.PromisedAll // it is no position: of its own timeline it proves nothing
		p := lsn.Point{System: e.System, Timeline: e.Of, LSN: e.To}
		switch {
		case unknown && e.By == "": // what this proxy has promised itself it still knows
		case e.Lost:
			r.lostBy = &LostBy{LackError: *e}
			lost = append(lost, knownwal.Known{Point: p, Complete: true, Lost: true, From: e.From})
		default:
			recalled = append(recalled, knownwal.Known{Point: p, By: e.By, Acked: true, Complete: !unknown})
		}
	}
	if recalled != nil {
		r.recalled.Store(&recalled)
	}
	if lost != nil {
		r.lost.Store(&lostAt{anyEndpoint: lost})
	}
}

// remembered returns the acknowledged WAL for which servers were refused before this start. It counts until a server is
// followed, or the member that knew of it has spoken again.
func (r *Supply) remembered(said []knownwal.Known) (all []knownwal.Known) {
	recalled := r.recalled.Load()
	if recalled == nil {
		return nil
	}
	for _, x := range *recalled {
		if x.By == "" || !slices.ContainsFunc(said, func(k knownwal.Known) bool { return k.By == x.By }) {
			all = append(all, x)
		}
	}
	return all
}

// pardon forgets that a server at srv's address, or any before the start, was refused for WAL up to had. srv has it.
func (r *Supply) pardon(srv server, had lsn.Point) {
	r.changeUnlike(func(all map[string]unlike) { delete(all, srv.endpoint) })
	r.changeLost(func(all lostAt) {
		for _, at := range []string{srv.endpoint, anyEndpoint} {
			all.without(at, func(x knownwal.Known) bool {
				return x.Timeline == had.Timeline && x.LSN <= had.LSN && (x.System == 0 || x.System == had.System)
			})
		}
	})
}

// dropLost forgets that servers were refused for WAL in e, which is given up now. Else the next attempt, before a
// stream has shown a stored record, would refuse the same server for it again.
func (r *Supply) dropLost(e *LackError) {
	r.changeLost(func(all lostAt) {
		for at := range all {
			all.without(at, func(x knownwal.Known) bool {
				return x.Timeline == e.Of && x.LSN <= e.To && (x.System == 0 || e.System == 0 || x.System == e.System)
			})
		}
	})
	r.locked(func() {
		if l := r.lostBy; l != nil && l.Of == e.Of && l.To <= e.To {
			r.lostBy = nil
		}
	})
}

// forgive forgets the refusal of the server at endpoint: it is streamed from. The loss of another one is not shown any
// more then.
func (r *Supply) forgive(endpoint string) {
	r.locked(func() { r.lostBy = nil })
	if was := r.partings.Load(); was != nil {
		all := maps.Clone(*was)
		delete(all, endpoint)
		r.partings.Store(&all)
	}
	r.recalled.Store(nil)
	r.changeUnlike(func(all map[string]unlike) { delete(all, endpoint) })
	r.changeLost(func(all lostAt) {
		delete(all, endpoint)
		delete(all, anyEndpoint)
	})
}
