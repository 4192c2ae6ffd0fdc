package logqueue

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func say(w io.Writer, lines uint64) { fmt.Fprintf(w, "%d dropped\n", lines) }

// TestReaderStandsStill: writers go on, what does not fit is counted, and said where it is missing.
func TestReaderStandsStill(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	q := New(Options{Out: w, Dropped: say})
	go q.Run()
	line := []byte(strings.Repeat("x", 999) + "\n")
	var all sync.WaitGroup
	const lines = 4 * maxBytes / 1000 // twice what the queue, its goroutine and the pipe can hold
	for range 4 {
		all.Go(func() {
			for range lines / 4 {
				if n, err := q.Write(line); n != len(line) || err != nil {
					t.Errorf("a line was not taken: %d, %v", n, err)
				}
			}
		})
	}
	all.Wait()
	dropped := q.Dropped()
	if dropped == 0 {
		t.Fatal("nothing was dropped")
	}
	if q.Close(10 * time.Millisecond) {
		t.Fatal("all was written to a reader that stands still")
	}
	read := make(chan []byte)
	go func() { b, _ := io.ReadAll(r); read <- b }()
	<-q.ended
	w.Close()
	text := <-read
	if got := uint64(bytes.Count(text, line)); got+dropped != lines {
		t.Errorf("%d lines came, %d were dropped, of %d", got, dropped, lines)
	}
	var said uint64
	for _, line := range strings.Split(string(text), "\n") {
		var n uint64
		if _, err := fmt.Sscanf(line, "%d dropped", &n); err == nil {
			said += n
		}
	}
	if said != dropped {
		t.Errorf("%d lines are said to be dropped, %d were", said, dropped)
	}
}

// brittle fails while told so.
type brittle struct {
	bytes.Buffer
	err error
}

func (b *brittle) Write(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	return b.Buffer.Write(p)
}

// TestWritesFail: lines for a reader that is gone are counted, and told to the next one.
func TestWritesFail(t *testing.T) {
	out := &brittle{err: errors.New("gone")}
	q := New(Options{Out: out, Dropped: say})
	for _, text := range []string{"a\n", "b\n"} {
		b := batch{text: []byte(text), ends: []int{len(text)}}
		if q.write(b) != 1 || q.say(1) != 1 {
			t.Error("a failure was not noticed")
		}
	}
	out.err = nil
	if q.say(2) != 0 || out.String() != "2 dropped\n" || q.Dropped() != 2 {
		t.Errorf("%q, %d", out.String(), q.Dropped())
	}
}

// TestLongLine: one line that is longer than the queue comes out whole.
func TestLongLine(t *testing.T) {
	var out bytes.Buffer
	q := New(Options{Out: &out, Dropped: say})
	line := append(bytes.Repeat([]byte("x"), 2*maxBytes), '\n')
	_, _ = q.Write(line)
	_, _ = q.Write([]byte("y\n")) // has no room
	go q.Run()
	if !q.Close(time.Minute) || out.String() != string(line)+"1 dropped\n" {
		t.Errorf("%d bytes came out", out.Len())
	}
}

// TestClose: what waited is written, what comes later is dropped.
func TestClose(t *testing.T) {
	var out bytes.Buffer
	q := New(Options{Out: &out, Dropped: say})
	for i := range 3 {
		fmt.Fprintf(q, "%d\n", i)
	}
	go q.Run()
	if !q.Close(time.Minute) || out.String() != "0\n1\n2\n" {
		t.Errorf("wrote %q", out.String())
	}
	fmt.Fprintln(q, "late")
	if q.Dropped() != 1 {
		t.Error("a late line was not counted")
	}
}
