package physical

import (
	"bytes"
	"context"

	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/wire"
)

const (
	// maxLead bounds the part of a Query that is read before it is known whether it is SQL: a long one goes through
	// piecemeal.
	maxLead = 16 << 10
	// maxKeyword is longer than any first word of a replication command.
	maxKeyword = 64
	// startTag is the tag of both streams.
	startTag = "START_REPLICATION"
)

func errTooLong(size int) *pgerror.Error {
	return pgerror.New(pgerror.ProgramLimitExceeded, "replication command of %d bytes is too long", size).
		WithDetail("replproxy reads replication commands of up to %d bytes.", maxQuery)
}

// errReserved refuses a stream that the primary would take for another's.
func errReserved(name string) *pgerror.Error {
	return pgerror.New(pgerror.InsufficientPrivilege, "application_name \"%s\" is reserved", name).
		WithDetail("The primary, or the rule of replproxy, counts the reports of whoever streams under this name.").
		WithHint("Set another application_name for this session.")
}

// commandAhead tells from the beginning of a Query's body of size bytes whether it is a replication command.
// undecided: only blanks have been read, so it may be one.
func commandAhead(dialect grammar.Dialect, lead []byte, size int) (is, undecided bool) {
	if len(bytes.TrimLeft(lead, " \t\n\r\f\v")) < maxKeyword && len(lead) < size {
		return false, true
	}
	is, _, err := dialect.Dispatch(string(lead))
	return is && err == nil, false
}

// command runs a replication command: here, or at the primary. What the grammar refuses the primary refuses too, and in
// its own way: a transaction is over then.
func (d *database) command(ctx context.Context, dialect grammar.Dialect, h wire.Header, body []byte) error {
	text, malformed := queryText(body)
	cmd, notices, err := dialect.Parse(text)
	if malformed != nil || err != nil {
		d.run()
		return d.pass(h, body)
	}
	d.mu.Lock()
	status := d.talk.status
	d.mu.Unlock()
	ours := d.ours(ctx, cmd)
	if ours && cmd.Tag() == startTag && status != 'I' {
		return d.refusedThere()
	}
	// What is long can't be in a transaction: the primary says so.
	if (status == 'I' && long(cmd) || status != 'E' && ours) && physicalMatter(cmd) {
		if e, err := d.admits(ctx, status); e != nil || err != nil {
			if err != nil {
				return err
			}
			return d.answer(ctx, func(context.Context) error { return d.s.fail(appendNotices(nil, notices), e) })
		}
	}
	if ours {
		if status != 'E' {
			return d.answer(ctx, func(ctx context.Context) error { return d.execute(ctx, cmd, notices) })
		}
	}
	switch cmd.(type) {
	case *grammar.IdentifySystem:
		d.s.identified = true
	case *grammar.StartLogical:
		if status == 'I' {
			if name, err := d.streamsAs(); err != nil || d.s.h.o.Reserved(name) {
				if err != nil {
					return err
				}
				return d.answer(ctx, func(context.Context) error { return d.s.fail(nil, errReserved(name)) })
			}
		}
	}
	client := d.s.info()
	d.mu.Lock()
	d.endBackup()
	if d.backup = newBackup(cmd); d.backup != nil {
		d.backupEnds = d.s.h.o.Hub.BackupBegins(client)
	}
	d.talk.run()
	d.mu.Unlock()
	return d.pass(h, body)
}

// ours reports whether a command is answered here: what is physical, and what names a slot of this proxy.
func (d *database) ours(ctx context.Context, cmd grammar.Command) bool {
	switch c := cmd.(type) {
	case *grammar.StartPhysical:
		return true
	case *grammar.CreateSlot:
		return !c.Logical || d.has(ctx, c.Name)
	case *grammar.ReadSlot:
		return d.has(ctx, c.Name)
	case *grammar.DropSlot:
		return d.has(ctx, c.Name)
	case *grammar.AlterSlot:
		return d.has(ctx, c.Name)
	case *grammar.StartLogical:
		return d.has(ctx, c.Slot)
	}
	return false
}

// has reports whether a name is a slot of this proxy, or its own on the primary.
func (d *database) has(ctx context.Context, name string) bool {
	return d.s.h.own(name) || d.s.h.o.Hub.HasSlot(ctx, name)
}

// refusedThere lets the primary refuse a stream in a transaction, which is over then. It is asked for one that is
// refused for the same reason, and without it would be for another.
func (d *database) refusedThere() error {
	d.run()
	d.out = wire.AppendFrame(d.out, 'Q', []byte("START_REPLICATION SLOT \"\" LOGICAL 0/0\x00"))
	return d.flush()
}

// streamsAs returns the application_name that the primary would count a stream of this session under. The primary is
// asked: settings of roles and databases, options and SQL all set it.
func (d *database) streamsAs() (string, error) {
	a, err := d.ask("SHOW application_name")
	if err != nil {
		return "", err
	}
	if len(a.unsaid) > 0 {
		if err := d.tell(a.unsaid); err != nil {
			return "", err
		}
	}
	if a.failed != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.params["application_name"], nil
	}
	return a.first(), nil
}

// answer runs f, which answers the client, while nobody else writes to it, and returns its error. It blocks until
// others have written. A primary that has ended the session leaves nothing to answer: nil.
func (d *database) answer(parent context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(parent))
	defer cancel(nil)
	d.mu.Lock()
	for d.writing {
		d.changed.Wait()
	}
	if d.ended {
		d.mu.Unlock()
		return nil
	}
	d.answering = true
	d.s.status = d.talk.status
	clear(d.s.parameters)
	for name, value := range d.params {
		d.s.parameters[name] = value
	}
	d.mu.Unlock()
	err := f(ctx)
	d.mu.Lock()
	for err == nil && len(d.held) > 0 {
		held := d.held
		d.held = nil
		d.mu.Unlock()
		err = d.s.send(held)
		d.mu.Lock()
	}
	d.answering = false
	d.mu.Unlock()
	return err
}

// execute answers a command from the hub, by the rules for physical walsenders.
func (d *database) execute(parent context.Context, cmd grammar.Command, notices []*pgerror.Error) error {
	s := d.s
	ctx, end := s.begin(parent)
	defer end()
	before := appendNotices(nil, notices)
	if e := d.physical(); e != nil {
		return s.fail(before, e)
	}
	err := s.awaitFirst(parent, ctx, cmd)
	if err != nil {
		return s.fail(before, err)
	}
	switch c := cmd.(type) {
	case *grammar.StartPhysical:
		return s.startPhysical(parent, ctx, before, c)
	case *grammar.CreateSlot:
		if c.Logical {
			err = pgerror.New(pgerror.DuplicateObject, "replication slot \"%s\" already exists", c.Name)
			break
		}
		before, err = s.createSlot(ctx, before, c)
	case *grammar.ReadSlot:
		before, err = s.readSlot(ctx, before, c.Name)
	case *grammar.DropSlot:
		before, err = s.dropSlot(parent, ctx, before, c)
	case *grammar.AlterSlot:
		err = errAlterPhysical()
	case *grammar.StartLogical:
		err = d.refuseLogical(ctx, c.Slot)
	}
	return s.done(before, err)
}

// refuseLogical words why a slot of this proxy is no slot to decode from. Before 16 a slot that holds no WAL was taken
// for one that had lost its own.
func (d *database) refuseLogical(ctx context.Context, name string) *pgerror.Error {
	state, ok, err := d.s.h.o.Hub.ReadSlot(ctx, name)
	if d.s.version.Major() < 16 && ok && err == nil && state.RestartLSN == lsn.Invalid {
		return pgerror.New(pgerror.ObjectNotInPrerequisite, "cannot read from logical replication slot \"%s\"", name).
			WithDetail("This slot has been invalidated because it exceeded the maximum reserved size.")
	}
	return pgerror.New(pgerror.ObjectNotInPrerequisite, "cannot use physical replication slot for logical decoding")
}

// spoil makes the primary fail a command, because this proxy answers one with an error. As after any error of a
// walsender the primary then aborts the session's transaction and drops its temporary slots. spoil waits for the
// primary. It returns the messages, such as notices, that the client is to get before ReadyForQuery.
func (d *database) spoil() ([]byte, error) {
	a, err := d.ask(`DROP_REPLICATION_SLOT "replproxy has answered with an error"`)
	if err != nil {
		return nil, err
	}
	d.s.status = a.status
	return a.unsaid, nil
}
