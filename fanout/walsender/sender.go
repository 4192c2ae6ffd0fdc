package walsender

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/nudge"
	"github.com/replproxy/replproxy/internal/stamp"
)

// DefaultDrainTimeout bounds how long a draining sender waits for the standby to confirm the last byte. A shutdown of
// the proxy must end within the time that service managers give (90 s).
const DefaultDrainTimeout = 20 * time.Second

var (
	// ErrSessionOver means that nothing more may be written: close the connection. It wraps why.
	ErrSessionOver = errors.New("walsender session is over")
	// ErrDrain as the cause of the context ends streams in an orderly way: everything received is sent
	// and confirmed before CommandComplete "COPY 0".
	ErrDrain = errors.New("draining")
)

// Options of New. Everything but Slot, Voter, Feedback, Judge and DrainTimeout is required.
type Options struct {
	Conn    Conn
	Session Session
	Store   Store
	// Open opens WAL of a timeline of Store at a position. Its errors are those of [Reader.Next].
	Open    func(lsn.TimelineID, lsn.LSN) (Reader, error)
	Plan    Plan
	SegSize lsn.SegSize
	Slot    Slot
	Voter   Voter // nil: nobody counts
	// Feedback is told what the standby says of its oldest needed transactions, from the replies loop. It must not
	// block. nil: nobody is.
	Feedback func(Feedback)
	// Judge is told the first status update, before any WAL is sent; an error refuses the standby. It may block. nil:
	// the stream begins at once.
	Judge func(lsn.Progress) error
	// Sane reports whether a standby's feedback, its oldest needed transactions, is believable. Other feedback changes
	// nothing, as on a primary. It must not block. nil: all is.
	Sane         func(Feedback) bool
	DrainTimeout time.Duration // 0: DefaultDrainTimeout
	// Began is called when the stream begins, after a start that cannot be waited for was refused. nil: nobody is told.
	Began func()
	// Covered returns the end of the WAL of the current timeline that a bounded standby may be sent, in the place of
	// the received end (see [Sender.Bound]). [NoBound]: as far as others. It is called under a lock and must not block.
	// Whoever moves it nudges. nil: never bounded.
	Covered func(lsn.TimelineID) lsn.LSN
}

// Sender streams WAL to one standby. Run is called once; Status from any goroutine at any time. Make it with [New].
type Sender struct {
	who stamp.Who // fixed

	// Fixed after construction.
	o     Options
	nudge nudge.Chan            // the replies loop has work for the send loop
	tally atomic.Pointer[Tally] // nil: it is not counted

	// Owned by the send loop.
	out    *frameWriter
	reader Reader
	armed  time.Time // write deadline in force

	// Guarded by mu, which is never held over I/O.
	mu       sync.Mutex
	core     *core
	fb       Feedback // the last sane one
	insane   bool     // what came last was not
	bytes    uint64
	fromDisk uint64
	end      error          // why the stream must end: the standby, or ctx; the first reason stays
	endBy    time.Time      // until when a message that is under way may be finished then
	poked    bool           // a blocked write shall look around
	inside   error          // the replies loop ended inside a frame, so that no command can follow, and this is why
	reopen   bool           // the timeline was left: the reader must be opened anew
	bounded  bool           // by Options.Covered
	finished bool           // Run is over: no more deadlines
	current  lsn.TimelineID // of the store, when it was last looked at

	doubtTimer *time.Timer // nil: never doubted
	doubtedBy  int32       // whose question was asked last
	mayEnd     func() bool // of the doubt
}

// New prepares a sender for an admitted plan. It starts nothing and writes nothing.
func New(o Options) *Sender {
	if o.DrainTimeout <= 0 {
		o.DrainTimeout = DefaultDrainTimeout
	}
	s := &Sender{who: stamp.NewWho(), o: o, nudge: nudge.New()}
	s.out = newFrameWriter(o.Conn.Net, s.arm, s.blocked)
	s.core = newCore(o.Plan, o.Session.WalSenderTimeout, o.SegSize, o.DrainTimeout, time.Now())
	s.core.state, s.core.unjudged = Startup, o.Judge != nil
	return s
}

// Run writes CopyBothResponse, streams, reads replies, and returns when COPY is over on both sides. It
// blocks as long as the standby stays. What it returns:
//
//   - (next, nil): the timeline ended; the row of next and the two CommandCompletes are due.
//   - (nil, nil): the standby ended COPY; the two CommandCompletes are due.
//   - an error with ErrSessionOver: write nothing, close the connection.
//   - any other error is for the standby, as an ErrorResponse.
//
// ctx with cause [ErrDrain] drains; a *pgerror.Error as cause is returned; any other is FATAL 57P01.
// The deadlines of the connection are used and are off when Run returns.
func (s *Sender) Run(ctx context.Context) (*NextTimeline, error) {
	watch := s.o.Store.Watch(walstore.MovedReceived | walstore.MovedTimeline)
	defer watch.Close()
	s.mu.Lock()
	now := time.Now()
	s.core.begun, s.core.lastReply, s.core.lastSent = now, now, now
	s.mu.Unlock()

	stop := context.AfterFunc(ctx, func() { s.interrupt(context.Cause(ctx)) })
	defer stop()
	var act action
	err := s.out.frame('W', []byte{0, 0, 0})
	if err == nil {
		err = s.admissible()
	}
	if err == nil {
		if s.o.Began != nil {
			s.o.Began()
		}
		repliesDone := make(chan struct{})
		go func() {
			defer close(repliesDone)
			s.replies()
		}()
		act, err = s.stream(watch)
		s.stopReplies(repliesDone)
	}
	if s.reader != nil {
		s.reader.Close()
	}
	err = s.finish(act, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finished = true
	if s.doubtTimer != nil {
		s.doubtTimer.Stop()
	}
	_ = s.o.Conn.Net.SetDeadline(time.Time{})
	if errors.Is(s.end, ErrLeft) { // which a write within TLS does not tell
		return nil, s.end
	}
	if err == nil && s.core.plan.Historic {
		next := s.core.plan.Next
		return &next, nil
	}
	return nil, err
}

// admissible refuses a start that is not waited for before anything of the standby is read, as PostgreSQL does:
// what it sent behind its command is the next command.
func (s *Sender) admissible() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end != nil {
		return s.end
	}
	if err := s.observe(time.Now()); err != nil {
		return err
	}
	if s.core.farAhead() {
		return errAhead(s.core.sent, s.core.end)
	}
	return nil
}

// stream runs the send loop: the only writer of the connection. It blocks until the stream ends, by the action that it
// returns, or an error.
func (s *Sender) stream(watch *walstore.Watcher) (action, error) {
	s.mu.Lock()
	s.core.state = Catchup
	s.mu.Unlock()
	timer := time.NewTimer(idleKeepalive)
	defer timer.Stop()
	for {
		a, err := s.decide()
		if err != nil || a.kind == doFinish {
			return a, err
		}
		if a.kind != doWait {
			if err := s.act(a); err != nil {
				return a, err
			}
			continue
		}
		timer.Reset(time.Until(a.until))
		select {
		case <-watch.C():
		case <-s.nudge:
		case <-timer.C:
		}
	}
}

// interrupt ends the loops at the end of Run's context: a drain, or the end of the stream.
func (s *Sender) interrupt(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var e *pgerror.Error
	switch {
	case errors.Is(cause, ErrDrain):
		_ = s.observe(time.Now()) // the send loop meets the same error
		s.core.drain(time.Now())
		s.poke()
		s.hurry(s.o.DrainTimeout)
		return
	case !errors.As(cause, &e):
		e = pgerror.Fatal(pgerror.AdminShutdown,
			"terminating connection due to administrator command").WithCause(cause)
	}
	s.endWith(e)
}

// End refuses the standby with err, an error in PostgreSQL's words, though its stream has begun. Any goroutine may call
// it; Run returns as soon as the message that is under way is written. End itself does not block, and of several errors
// the first one counts.
func (s *Sender) End(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endWith(err)
}

// endWith ends the stream with err unless it ends already. The caller holds mu.
func (s *Sender) endWith(err error) {
	if s.end == nil {
		s.end, s.endBy = err, time.Now().Add(lastWrite)
	}
	s.poke()
	s.hurry(lastWrite)
}

// decide looks at the store and asks the core for the next action. It does not block. The error is that which ended the
// session.
func (s *Sender) decide() (action, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end != nil {
		return action{}, s.end
	}
	now := time.Now()
	if err := s.observe(now); err != nil {
		return action{}, err
	}
	return s.core.next(now), nil
}
