package admin

import (
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// Cluster shows the connections of this proxy to the other members. The counters begin with the process.
type Cluster struct {
	Peers   []Peer `json:"peers" doc:"all configured proxies but this one, by name"`
	Refused uint64 `json:"refused_total" doc:"connections that did not prove a member's name"`
	Garbled uint64 `json:"garbled_total" doc:"connections ended for what was said on them"`
	Clashes uint64 `json:"clashes_total" doc:"times that two live proxies held one name: stop one of them"`

	DroppedUnconfirmed []string `json:"dropped_unconfirmed,omitempty" doc:"dropped slots that a member may still have"`
}

// Peer is another proxy.
type Peer struct {
	Name      string    `json:"name" doc:"as in cluster.members"`
	Addr      string    `json:"addr,omitempty" doc:"where it is, or was last; absent: it was never up"`
	Sending   bool      `json:"sending" doc:"what this proxy says reaches it"`
	Heard     time.Time `json:"heard_at,omitzero" doc:"when it said something last; absent while it is not connected"`
	LastHeard time.Time `json:"last_heard_at,omitzero" doc:"the same, while it is not connected too"`
	LastError string    `json:"last_error,omitempty" doc:"why the last connection to it ended or failed"`
	Slots     string    `json:"slots_error,omitempty" doc:"why slots were not shared with it at the last try"`
	Release   string    `json:"version,omitempty" doc:"version of replproxy that it runs; absent: v0.1.0, or not heard"`
	Version   int       `json:"message_version,omitempty" doc:"in which both talk: the highest that both speak"`
	Strange   string    `json:"not_understood,omitempty" doc:"why it cannot be understood"`
	Unproven  bool      `json:"unproven,omitempty" doc:"true: its release has no hashes, and it counts all the same"`
	Compared  lsn.LSN   `json:"compared_lsn,omitzero" doc:"its WAL is this up to here; absent: not compared"`
	Differs   lsn.LSN   `json:"differs_lsn,omitzero" doc:"its WAL is other WAL, from somewhere below here on"`
}

// sharedSlotMetrics are rows of [metrics].
var sharedSlotMetrics = []metric{
	{"replproxy_slot_shared_slots", "Slots that the cluster shares, by where their session is or was last.",
		"owner", []string{"here", "elsewhere"}, gauge,
		func(s *Status, emit func(string, float64)) {
			here, all := 0, 0
			for i := range s.Slots {
				switch s.Slots[i].Owner {
				case "":
					continue
				case s.Name:
					here++
				}
				all++
			}
			emit("here", float64(here))
			emit("elsewhere", float64(all-here))
		}},
	{"replproxy_slot_unkept_slots", "Slots that the cluster shares whose WAL no member that is heard keeps.",
		"", nil, gauge, single(func(s *Status) float64 {
			n := 0
			for i := range s.Slots {
				if s.Slots[i].Owner != "" && len(s.Slots[i].KeptBy) == 0 {
					n++
				}
			}
			return float64(n)
		})},
	{"replproxy_slot_unconfirmed_drops", "Dropped slots that a member may still have.", "", nil, gauge,
		single(func(s *Status) float64 { return float64(len(s.cluster().DroppedUnconfirmed)) })},
}

var linkStates = []string{"sending", "heard", "configured"}

// linkMetrics are rows of [metrics].
var linkMetrics = []metric{
	{"replproxy_link_peers", "Other proxies of the cluster: reached, connected from there, and all.",
		"state", linkStates, gauge,
		func(s *Status, emit func(string, float64)) {
			var n [3]int
			for _, p := range s.cluster().Peers {
				for i, is := range []bool{p.Sending, !p.Heard.IsZero(), true} {
					if is {
						n[i]++
					}
				}
			}
			for i, state := range linkStates {
				emit(state, float64(n[i]))
			}
		}},
	{"replproxy_link_refused_connections_total", "Connections that did not prove a member's name.", "", nil, counter,
		single(func(s *Status) float64 { return float64(s.cluster().Refused) })},
	{"replproxy_link_garbled_connections_total", "Connections with members that ended for what was said on them.",
		"", nil, counter, single(func(s *Status) float64 { return float64(s.cluster().Garbled) })},
	{"replproxy_link_clashes_total", "Times that two live proxies held one name.", "", nil, counter,
		single(func(s *Status) float64 { return float64(s.cluster().Clashes) })},
}

// cluster returns the zero Cluster without one.
func (s *Status) cluster() Cluster {
	if s.Cluster == nil {
		return Cluster{}
	}
	return *s.Cluster
}
