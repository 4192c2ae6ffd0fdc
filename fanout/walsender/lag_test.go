package walsender

import (
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

func TestLag(t *testing.T) {
	begin := time.Unix(1_700_000_000, 0)
	at := func(s int) time.Time { return begin.Add(time.Duration(s) * time.Second) }
	var l lagTracker
	if l.value() != LagUnknown {
		t.Fatal("known before the first report")
	}
	l.available(100, at(0))
	l.available(200, at(10))
	l.available(300, at(20))
	l.confirmed(100, at(21))
	if l.value() != 21*time.Second {
		t.Fatalf("lag %s", l.value())
	}
	l.confirmed(150, at(25)) // half way between 0 s and 10 s
	if l.value() != 20*time.Second {
		t.Fatalf("lag between samples %s", l.value())
	}
	l.confirmed(300, at(25)) // the newest confirmed sample counts
	if l.value() != 5*time.Second {
		t.Fatalf("lag %s", l.value())
	}
	l.confirmed(300, at(35))
	if l.value() != 5*time.Second {
		t.Fatal("cleared by the first idle report")
	}
	l.confirmed(300, at(45))
	if l.value() != LagUnknown {
		t.Fatal("an idle standby shows its last busy moment")
	}
	l.available(400, at(50))
	l.confirmed(0, at(51)) // pg_receivewal never applies
	if l.value() != LagUnknown {
		t.Fatalf("lag %s without progress", l.value())
	}
}

func TestLagIsBounded(t *testing.T) {
	begin := time.Unix(1_700_000_000, 0)
	var l lagTracker
	const n = 100_000
	for i := range n {
		l.available(lsn.LSN(i+1), begin.Add(time.Duration(i)*time.Second))
	}
	if len(l.pending) > lagSamples || cap(l.pending) > 2*lagSamples {
		t.Fatalf("%d samples", len(l.pending))
	}
	now := begin.Add(n * time.Second)
	l.confirmed(n/2, now)
	// Coarse, but within a few steps of what is left of the resolution.
	if got, want := l.value(), n/2*time.Second; got < want || got > want+5*n/lagSamples*time.Second {
		t.Fatalf("lag %s, expected about %s", got, want)
	}
}
