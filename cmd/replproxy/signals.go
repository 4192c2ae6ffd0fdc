package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/replproxy/replproxy/internal/nudge"
)

// interruptible returns a context that ends at the first SIGINT or SIGTERM. stop gives the signals back.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
}

// sameWish bounds the time in which a further signal counts as the first one. timeout, a shell or a supervisor that
// ends a process and its group sends two at once. Nobody who wants to hurry sends a second one as quickly.
const sameWish = 500 * time.Millisecond

// twoStage returns two contexts. soft ends at the first SIGINT or SIGTERM, which asks for an orderly end. hard ends at
// one that comes sameWish after the first or later, and asks not to wait. stop gives the signals back and ends both.
func twoStage(parent context.Context) (soft, hard context.Context, stop func()) {
	soft, endSoft := context.WithCancel(parent)
	hard, endHard := context.WithCancel(parent)
	signals := make(chan os.Signal, 2) // one for each stage
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		var first time.Time
		for {
			select {
			case <-signals:
			case <-done:
				return
			}
			switch {
			case first.IsZero():
				first = time.Now()
				endSoft()
			case time.Since(first) >= sameWish:
				endHard()
			}
		}
	}()
	return soft, hard, func() {
		signal.Stop(signals)
		close(done)
		endSoft()
		endHard()
	}
}

// daemonSignals keeps a daemon alive where the default would end it: SIGHUP is a habit of people who
// change configurations, and SIGPIPE means that whoever read the log is gone. hangups has a token after
// each SIGHUP, one for several that nobody has looked at yet. stop gives the signals back.
func daemonSignals() (hangups <-chan struct{}, stop func()) {
	signal.Ignore(syscall.SIGPIPE)
	signals := make(chan os.Signal, 1)
	tokens := nudge.New()
	signal.Notify(signals, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-signals:
				tokens.Wake()
			case <-done:
				return
			}
		}
	}()
	return tokens, func() {
		signal.Stop(signals)
		signal.Reset(syscall.SIGPIPE)
		close(done)
	}
}
