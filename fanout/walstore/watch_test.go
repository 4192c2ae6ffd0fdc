package walstore

import (
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
)

func taken(w *Watcher) bool {
	select {
	case <-w.C():
		return true
	default:
		return false
	}
}

func TestWatchers(t *testing.T) {
	s := openMem(t, vfs.NewMem())
	g := newGen()
	g.Record(5000)
	begin(t, s, g)
	received, flushed, all := s.Watch(MovedReceived), s.Watch(MovedFlushed), s.Watch(MovedReceived|MovedFlushed|MovedWritten)
	for _, w := range []*Watcher{received, flushed, all} {
		if !taken(w) || taken(w) {
			t.Fatal("a watcher begins with one token")
		}
	}
	send(t, s, g, g.Start())
	if !taken(received) || taken(flushed) || !taken(all) {
		t.Fatal("wrong watchers were woken by received")
	}
	drain(t, s)
	if taken(received) || !taken(flushed) || !taken(all) || taken(all) {
		t.Fatal("wrong watchers were woken by flushed")
	}
	all.Close()
	all.Close()
	_ = s.fail(ErrClosed)
	if !taken(received) || !taken(flushed) || taken(all) {
		t.Fatal("the end of the store wakes all that are not closed")
	}
}
