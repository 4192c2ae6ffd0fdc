package fanout

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/replproxy/replproxy/fanout/walsender"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestStranded: a standby with WAL beyond a fork is named until it streams the new timeline, or is not seen any more;
// one that ends at the fork is none.
func TestStranded(t *testing.T) {
	h := &Hub{o: Options{Losses: noLosses{}}, log: slog.New(slog.DiscardHandler), registry: newRegistry()}
	next := &NextTimeline{Timeline: 2, Start: 100}
	at := func(apply int) walsender.Status {
		st := walsender.Status{Timeline: 1}
		st.Write, st.Flush, st.Apply = 150, 150, lsn.LSN(apply)
		return st
	}
	h.ended("behind", next, at(90))
	h.ended("exact", next, at(100))
	h.ended("alive", nil, at(120))
	h.o.Losses = lost{lsn.Point{Timeline: 1, LSN: 130}: true}
	h.ended("lost", next, at(130))
	if all := h.Stranded(); len(all) != 1 || !all[0].GivenUp {
		t.Fatalf("of lost WAL: %+v", all)
	}
	h.stranded.streams("lost", time.Now())
	h.ended("beyond", next, at(120))
	h.ended("beyond", next, at(121))
	if all := h.Stranded(); len(all) != 1 || all[0].ApplicationName != "beyond" || all[0].Has != 121 || all[0].Fork != 100 ||
		all[0].Timeline != 1 || all[0].Next != 2 || all[0].GivenUp {
		t.Fatalf("%+v", all)
	}
	h.stranded.streams("another", time.Now())
	h.stranded.streams("beyond", time.Now().Add(-time.Minute))
	if len(h.Stranded()) != 1 {
		t.Fatal("taken off by another, or by what was said before")
	}
	h.stranded.streams("beyond", time.Now())
	if len(h.Stranded()) != 0 {
		t.Fatal("still named")
	}
	for i := range 2 * maxStranded {
		h.stranded.strand(Stranded{ApplicationName: fmt.Sprint(i), seen: time.Now().Add(-strandedFor - time.Second)})
	}
	if n := len(h.stranded.rows); n != maxStranded {
		t.Fatalf("%d are remembered", n)
	}
	if len(h.Stranded()) != 0 {
		t.Fatal("named though it was not seen for long")
	}
}
