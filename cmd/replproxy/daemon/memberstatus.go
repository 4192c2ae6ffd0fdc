package daemon

import (
	"net/http"

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/cluster/tail"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/cmd/replproxy/show"
	"github.com/replproxy/replproxy/fanout"
	"github.com/replproxy/replproxy/fanout/walsource"
	"github.com/replproxy/replproxy/fanout/walstore"
)

// details returns the parts of this proxy's member status that the node does not know itself. They come from the store,
// the attached standbys and the stream.
func details(store *walstore.Store, hub *fanout.Hub, r *walsource.Supply, release string) cluster.Details {
	complete := store.Positions().Complete
	h := store.History()
	d := cluster.Details{
		Begin: h.Begin(), Timeline: h.Timeline, Standbys: []tail.Standby{}, Promised: r.Promised(), Complete: complete,
		Lost: lostWAL(r.Status()), Release: release, Backups: hub.Backups(),
	}
	for _, b := range hub.Standbys() {
		d.Standbys = append(d.Standbys, tail.Standby{
			Name: vote.Fold(b.ApplicationName), State: b.State.String(), Timeline: b.Timeline,
			Sent: b.Sent, Write: b.Write, Flush: b.Flush, Apply: b.Apply,
			Attached: b.BackendStart, Replied: b.LastReply,
		})
	}
	return d
}

// lostWAL converts [walsource.Status.Lost] for members.
func lostWAL(s walsource.Status) *tail.Lost {
	l := s.Lost()
	if l == nil {
		return nil
	}
	return &tail.Lost{System: s.System, Timeline: l.Of, From: l.From, To: l.To}
}

// tailHandler answers GET /tail: the query is an ask.
func tailHandler(node *cluster.Node) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ask, err := tail.ParseAsk(r.FormValue("timeline"), r.FormValue("candidate"), r.Form["end"])
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = show.JSON(w, node.Tail(ask))
	})
}
