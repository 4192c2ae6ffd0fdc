package walsource

import (
	"errors"
	"fmt"
	"github.com/replproxy/replproxy/fanout/walreceiver"
	"slices"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/knownwal"
)

func TestElect(t *testing.T) {
	one := candidate{host: "one", srv: server{system: 7, timeline: 1, xlogpos: 9 * seg, history: lsn.History{Timeline: 1}}}
	three := candidate{host: "three", srv: server{system: 7, timeline: 3, xlogpos: 9 * seg, history: fork3}}
	twin, other := three, three
	twin.host, other.host = "twin", "other"
	other.srv.history.Parents = slices.Clone(fork3.Parents)
	other.srv.history.Parents[1].Switch++
	alien := three
	alien.srv.system = 8
	sibling := candidate{host: "sibling", srv: server{system: 7, timeline: 9, xlogpos: 9 * seg, history: lsn.History{
		Timeline: 9, Parents: []lsn.HistoryEntry{{Timeline: 1, Switch: 2 * seg}},
	}}}
	avoided := three
	avoided.err = errors.New("it differs")
	none := func(lsn.TimelineID) (lsn.History, bool) { return lsn.History{}, false }
	knows3 := func(tli lsn.TimelineID) (lsn.History, bool) { return fork3, tli == 3 }
	nobody := func(*LackError) bool { return false }
	nothing := knowledge{}
	acked := func(tli lsn.TimelineID, at lsn.LSN) knownwal.Known {
		return knownwal.Known{Point: lsn.Point{System: 7, Timeline: tli, LSN: at}, By: "proxy_b", Acked: true, Complete: true}
	}
	has := func(tli lsn.TimelineID, at lsn.LSN) knowledge {
		return knowledge{all: []knownwal.Known{{Point: lsn.Point{System: 7, Timeline: tli, LSN: at}, Complete: true}}}
	}
	most := knowledge{all: []knownwal.Known{acked(1, 5*seg+101)}, unheard: knownwal.Unheard{Members: []string{"proxy_b"}}}
	stranger := knowledge{unheard: knownwal.Unheard{Members: []string{"c"}, KnownBy: "b"}}
	unknown := knowledge{unheard: knownwal.Unheard{Members: []string{"proxy_b"}}}
	empty := walstore.Positions{}
	all := func(*LackError) bool { return true }
	standby, proxy := one, one
	standby.host, standby.srv.settings = "standby", map[string]string{inHotStandby: "on"}
	proxy.host, proxy.srv.virtual = "proxy", true
	ours := walstore.Identity{System: 7, SegSize: 16 << 20, ServerMajor: 15}
	for name, c := range map[string]struct {
		grounds
		all  []candidate
		want string // host, or "" for none
		says string // in some refusal
	}{
		"the higher timeline": {grounds{on(1, 3*seg), ours, none, nothing, nobody}, []candidate{one, three}, "three", ""},
		"the first of equals": {grounds{on(1, 3*seg), ours, none, nothing, nobody}, []candidate{twin, three}, "twin", ""},
		"an old primary that is back": {grounds{on(3, 9*seg), ours, knows3, nothing, nobody}, []candidate{one}, "",
			"highest timeline 1 of the primary is behind recovery timeline 3"},
		"beside the new one": {grounds{on(3, 9*seg), ours, knows3, nothing, nobody}, []candidate{one, three}, "three", "behind recovery"},
		"one number, two histories": {grounds{on(1, 3*seg), ours, none, nothing, nobody}, []candidate{one, three, other}, "",
			"both promoted to timeline 3"},
		"of which one is ours": {grounds{on(3, 9*seg), ours, knows3, nothing, nobody}, []candidate{other, three}, "three",
			"is not timeline 3 of the stored WAL"},
		"and the other alone": {grounds{on(3, 9*seg), ours, knows3, nothing, nobody}, []candidate{other}, "", "is not timeline 3 of the stored WAL"},
		"another system":      {grounds{on(1, 3*seg), ours, none, nothing, nobody}, []candidate{alien, one}, "one", "identifier differs"},
		"two systems, an empty store": {grounds{walstore.Positions{}, walstore.Identity{}, none, nothing, nobody}, []candidate{one, alien}, "",
			"different database systems"},
		"a higher timeline that left ours out": {grounds{on(3, 9*seg), ours, knows3, nothing, nobody}, []candidate{three, sibling}, "three",
			"requested timeline 3 is not in this server's history"},
		"found to differ before": {grounds{on(1, 3*seg), ours, none, nothing, nobody}, []candidate{avoided, one}, "one", "it differs"},
		"a fork below what was promised": {grounds{on(1, 6*seg), ours, none, most, nobody}, []candidate{three}, "",
			"timeline 3 lacks acknowledged WAL from 0/5000064 to 0/5000065"},
		"a new timeline before all members are heard": {grounds{on(1, 3*seg), ours, none, unknown, nobody}, []candidate{three}, "",
			"timeline 3 is not followed before proxy_b has said what it reported"},
		"and before one that only a member knows": {grounds{on(1, 3*seg), ours, none, stranger, nobody}, []candidate{three}, "",
			"not followed before c has said what it reported, which b has in cluster.members and this proxy has not"},
		"the own one before that": {grounds{on(3, 6*seg), ours, none, unknown, nobody}, []candidate{three}, "three", ""},
		"a primary that has lost WAL": {grounds{on(1, 6*seg), ours, none, has(1, 9*seg+1), nobody}, []candidate{one}, "",
			"the primary has lost WAL up to 0/9000001 of timeline 1, nobody knows from where on"},
		"and the operator knows it":      {grounds{on(1, 6*seg), ours, none, has(1, 9*seg+1), all}, []candidate{one}, "one", ""},
		"a standby may be behind":        {grounds{on(1, 6*seg), ours, none, has(1, 9*seg+1), nobody}, []candidate{standby}, "standby", ""},
		"a proxy too":                    {grounds{on(1, 6*seg), ours, none, has(1, 9*seg+1), nobody}, []candidate{proxy}, "proxy", ""},
		"nobody has more":                {grounds{on(1, 6*seg), ours, none, has(1, 9*seg), nobody}, []candidate{one}, "one", ""},
		"what others had of another way": {grounds{on(1, 6*seg), ours, none, has(2, 9*seg), nobody}, []candidate{one}, "one", ""},
		"an empty store, a stale server": {grounds{empty, ours, none, most, nobody}, []candidate{three}, "",
			"timeline 3 lacks acknowledged WAL from 0/5000064 to 0/5000065"},
		"an empty store, an old primary": {grounds{empty, ours, none, knowledge{all: []knownwal.Known{acked(3, 9*seg)}}, nobody},
			[]candidate{one}, "", "timeline 1 lacks acknowledged WAL of timeline 3, up to 0/9000000"},
		"an empty store, a primary that lost WAL": {grounds{empty, ours, none, has(1, 9*seg+1), nobody}, []candidate{one, three},
			"three", "has lost WAL"},
		"beside the old one": {grounds{on(1, 6*seg), ours, none, most, nobody}, []candidate{three, one}, "one", "lacks acknowledged WAL"},
		"a fork below":       {grounds{on(1, 6*seg), ours, none, nothing, nobody}, []candidate{one, three}, "three", ""},
	} {
		best, refused := elect(c.grounds, c.all)
		got := ""
		if best >= 0 {
			got = c.all[best].host
		}
		if got != c.want {
			t.Errorf("%s: %q, expected %q (%v)", name, got, c.want, refused)
		}
		if text := fmt.Sprint(refused); !strings.Contains(text, c.says) {
			t.Errorf("%s: %s, expected %q", name, text, c.says)
		}
	}
}

// An old primary that comes back is refused in words and not followed, and the new one is found again.
func TestOldPrimaryReturns(t *testing.T) {
	identify := func(tli, pos string) []byte { return ready(row("IDENTIFY_SYSTEM", fakeSystem, tli, pos, "")) }
	history := map[string][]byte{
		"IDENTIFY_SYSTEM":  identify("2", "0/2000100"),
		"TIMELINE_HISTORY": ready(row("X", "00000002.history", "1\t0/2000000\tno recovery target specified")),
	}
	old, promoted := newWalsender(t, map[string][]byte{"IDENTIFY_SYSTEM": identify("1", "0/3000000")}), newWalsender(t, history)
	port := func(w *walsender) uint16 { return w.config.Endpoints()[0].Port }
	config, err := upstream.Parse(fmt.Sprintf("host=127.0.0.1,127.0.0.1 port=%d,%d user=u sslmode=disable "+
		"target_session_attrs=any", port(old), port(promoted)))
	if err != nil {
		t.Fatal(err)
	}
	m := newMemStore()
	r := start(t, promoted, m, func(o *Options) { o.Upstream = config })
	c := <-promoted.copies // the higher timeline, although it comes second
	c.send(xlog(0x2000000, "WAL"))
	r.await("streaming", func(s Status) bool { return s.State == walreceiver.Streaming && s.Timeline == 2 })
	for range 2 { // lost, and only the old one is left
		promoted.mu.Lock()
		promoted.answers = map[string][]byte{"IDENTIFY_SYSTEM": fail("FATAL", "57P03", "the database system is starting up")}
		promoted.mu.Unlock()
		c.Close()
		r.await("refusal", func(s Status) bool {
			return strings.Contains(s.LastError, "behind recovery timeline 2")
		})
		promoted.mu.Lock()
		promoted.answers = history
		promoted.mu.Unlock()
		c = <-promoted.copies
		c.send(xlog(0x2000000, "WAL"))
	}
	c.Close()
	for _, command := range old.asked() {
		if strings.HasPrefix(command, "START") || strings.Contains(command, "SLOT") {
			t.Errorf("the old primary was asked for %s", command)
		}
	}
}
