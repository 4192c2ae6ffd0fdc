package walsource

import (
	"errors"
	"maps"
	"slices"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/knownwal"
)

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
	r.changeLost(func(all map[string]knownwal.Known) {
		all[srv.endpoint] = knownwal.Known{Point: p, Complete: true, Lost: true, From: e.From}
	})
}

// changeLost has change change what is remembered of servers that were refused, by endpoint.
func (r *Supply) changeLost(change func(all map[string]knownwal.Known)) {
	all := map[string]knownwal.Known{}
	if was := r.lost.Load(); was != nil {
		all = maps.Clone(*was)
	}
	change(all)
	r.lost.Store(&all)
}

// anyEndpoint stands for whichever server was refused before this start.
const anyEndpoint = ""

// recall takes up the refusal that was noted before this start. A store that is emptied meanwhile can't tell by bytes,
// and the primary may have written as much other WAL since. The member that knows of acknowledged WAL may be away by
// now.
func (r *Supply) recall() {
	e := r.o.Accept.Refused()
	unknown := e != nil && e.To == walstore.PromisedAll // it is no position: of its own timeline it proves nothing
	if e == nil || unknown && e.By == "" {
		return // what this proxy has promised itself it still knows
	}
	p := lsn.Point{System: e.System, Timeline: e.Of, LSN: e.To}
	if e.Lost {
		r.lostBy = &LostBy{LackError: *e}
		r.lost.Store(&map[string]knownwal.Known{anyEndpoint: {Point: p, Complete: true, Lost: true, From: e.From}})
		return
	}
	r.recalled.Store(&knownwal.Known{Point: p, By: e.By, Acked: true, Complete: !unknown})
}

// remembered returns the acknowledged WAL for which a server was refused before this start. It counts until a server is
// followed, or the member that knew of it has spoken again. nil: none.
func (r *Supply) remembered(said []knownwal.Known) *knownwal.Known {
	x := r.recalled.Load()
	if x == nil || x.By != "" && slices.ContainsFunc(said, func(k knownwal.Known) bool { return k.By == x.By }) {
		return nil
	}
	return x
}

// pardon forgets that a server at srv's address, or any before the start, was refused for WAL up to had. srv has it.
func (r *Supply) pardon(srv server, had lsn.Point) {
	r.changeUnlike(func(all map[string]unlike) { delete(all, srv.endpoint) })
	r.changeLost(func(all map[string]knownwal.Known) {
		for _, at := range []string{srv.endpoint, anyEndpoint} {
			x := all[at]
			if x.Timeline == had.Timeline && x.LSN <= had.LSN && (x.System == 0 || x.System == had.System) {
				delete(all, at)
			}
		}
	})
}

// dropLost forgets that servers were refused for WAL in e, which is given up now. Else the next attempt, before a
// stream has shown a stored record, would refuse the same server for it again.
func (r *Supply) dropLost(e *LackError) {
	r.changeLost(func(all map[string]knownwal.Known) {
		maps.DeleteFunc(all, func(_ string, x knownwal.Known) bool {
			return x.Timeline == e.Of && x.LSN <= e.To && (x.System == 0 || e.System == 0 || x.System == e.System)
		})
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
	r.changeLost(func(all map[string]knownwal.Known) {
		delete(all, endpoint)
		delete(all, anyEndpoint)
	})
}
