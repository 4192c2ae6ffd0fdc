package fanout

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/fanout/slot/shared"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// lost are points within WAL that was given up. Nobody is asked for it.
type lost map[lsn.Point]bool

func (lost) Known() error                                                          { return nil }
func (lost) Asks(SessionInfo, string) bool                                         { return false }
func (lost) Judge(SessionInfo, string, lsn.TimelineID, lsn.Progress) (bool, error) { return false, nil }
func (lost) Left(SessionInfo, string, lsn.TimelineID, lsn.LSN)                     {}
func (l lost) GaveUp(p lsn.Point) bool                                             { return l[p] }

// TestRewoundSlotsAreToldOf: a slot that is brought back is told of with what its standby needs. pg_rewind is named only
// where it helps: within one timeline it does nothing. Of a standby that a member serves now that member tells.
func TestRewoundSlotsAreToldOf(t *testing.T) {
	const given, short, left = "make it anew by pg_basebackup, not by pg_rewind", "is made anew by pg_basebackup if it",
		"it needs pg_rewind, or is made anew"
	for name, c := range map[string]struct {
		followed lsn.TimelineID
		had      lsn.LSN
		member   bool
		want     string
	}{
		"another timeline":                    {1, 110, false, left},
		"the store is short":                  {0, 110, false, short},
		"of this timeline it was given up":    {0, 120, false, given},
		"of the one before it was given up":   {1, 130, false, given},
		"of this one, and it was left before": {1, 120, false, left},
		"a member serves it":                  {1, 110, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			slots, err := slot.Open(t.TempDir(), slot.Options{Node: "a"})
			if err != nil {
				t.Fatal(err)
			}
			s := shared.State{Name: "s1", Generation: 1, Owner: "b", Stamp: 1, Restart: c.had}
			if c.member {
				s.ActivePID = 7
			}
			slots.Meet(s)
			var log bytes.Buffer
			h := &Hub{log: slog.New(slog.NewTextHandler(&log, nil)), o: Options{Slots: slots, Losses: lost{
				{Timeline: 2, LSN: 120}: true, {Timeline: 1, LSN: 130}: true,
			}}}
			for _, was := range slots.Rewind(100) {
				h.tellRewound(was, c.followed, 2, 100)
			}
			if said := log.String(); !strings.Contains(said, c.want) || (said == "") != (c.want == "") {
				t.Errorf("%q, want %q", said, c.want)
			}
			if i, _ := slots.Read("s1"); i.Restart != 100 {
				t.Errorf("the slot holds WAL from %s on", i.Restart)
			}
		})
	}
}
