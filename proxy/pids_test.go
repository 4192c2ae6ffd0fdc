package proxy

import "testing"

// Pids are positive, above every real one, unlike those of other nodes, and of no living session.
func TestPIDs(t *testing.T) {
	seen := map[int32]bool{}
	for _, node := range []uint8{0, 1, MaxNode} {
		p := newPIDs(node)
		for range 1000 {
			pid := p.take()
			if pid <= 1<<22 || seen[pid] {
				t.Fatalf("node %d: pid %d", node, pid)
			}
			seen[pid] = true
		}
	}
	p := newPIDs(3)
	first := p.take()
	p.next = pidLast
	last := p.take()
	if second := p.take(); second == first || second == last || p.take() == first {
		t.Errorf("a living session's pid was given again: %d, %d", first, second)
	}
	p.release(first)
	p.next = pidFirst
	if again := p.take(); again != first {
		t.Errorf("pid %d after its session ended, want %d", again, first)
	}
}

func TestStateWords(t *testing.T) {
	for s, want := range map[State]string{
		StateStarting: "starting", StateActive: "active", StateStreaming: "streaming", StateEnding: "ending",
	} {
		if s.String() != want {
			t.Errorf("%d is %q", s, s)
		}
	}
}
