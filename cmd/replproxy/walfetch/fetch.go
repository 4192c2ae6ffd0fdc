package walfetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/replproxy/replproxy/fanout/backfill"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/proxy/physical"
)

// applicationName names the fetch among the proxy's standbys.
const applicationName = "replproxy wal-fetch"

// dialect renders commands that have not changed since.
const dialect grammar.Version = 140000

var (
	// ErrAbsent: the proxy has not got the file.
	ErrAbsent = errors.New("is not there")
	// ErrBehind: the proxy has not got the file, and may yet get it.
	ErrBehind = errors.New("is not there, and the proxy has not caught up with its primary: nobody knows whether " +
		"there is more WAL")
	// ErrName: no file of pg_wal has such a name.
	ErrName = errors.New("is neither a WAL segment nor a timeline history file")
)

// Fetch logs in to proxy and puts the file called name to path, whose directory must exist. It blocks for as long as
// the WAL takes, and until ctx ends.
func Fetch(ctx context.Context, proxy *upstream.Config, name, path string) error {
	tli, history := lsn.ParseHistoryFileName(name)
	if !history && !looksLikeSegment(name) {
		return fmt.Errorf("%q %w", name, ErrName)
	}
	s, err := proxy.Connect(ctx, map[string]string{"replication": "true", "application_name": applicationName})
	if err != nil {
		return err
	}
	defer s.Close()
	if history {
		return historyFile(ctx, s, tli, path)
	}
	return segment(ctx, s, name, path)
}

// StopsRecovery reports whether a server in data directory dir must not go on when WAL could not be asked for. A
// standby may: it tries again by itself. A recovery to a point would take the WAL for its end.
func StopsRecovery(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "standby.signal"))
	return err != nil
}

// looksLikeSegment reports whether name has the form of a segment's name. Whether it is a valid one depends on the
// segment size, which is not known yet.
func looksLikeSegment(name string) bool {
	if len(name) != 24 {
		return false
	}
	for _, c := range name {
		if (c < '0' || c > '9') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}

func historyFile(ctx context.Context, s *upstream.Session, tli lsn.TimelineID, path string) error {
	command := grammar.Render(&grammar.TimelineHistory{Timeline: tli}, dialect)
	row, err := ask(ctx, s, command, 2)
	if errors.Is(absent(err), ErrAbsent) {
		if err := caughtUp(ctx, s); err != nil {
			return err
		}
		row, err = ask(ctx, s, command, 2) // it may have come meanwhile
	}
	if err != nil {
		return absent(err)
	}
	return place(path, bytes.NewReader(row[1]), int64(len(row[1])))
}

// segment streams one segment to path, if the proxy has the whole of it on its timeline; else [ErrAbsent]. [ErrName]:
// name is none of a segment. It blocks until all has come.
func segment(ctx context.Context, s *upstream.Session, name, path string) error {
	row, err := ask(ctx, s, "SHOW wal_segment_size", 1)
	if err != nil {
		return err
	}
	size, err := lsn.ParseSegSize(string(row[0]))
	if err != nil {
		return err
	}
	tli, number, ok := size.ParseFileName(name)
	if !ok {
		return fmt.Errorf("%q %w of %s", name, ErrName, size)
	}
	run := backfill.Run{Timeline: tli, Start: size.Start(number), End: size.Start(number + 1)}
	system, beyond, err := where(ctx, s, run)
	if err == nil && beyond {
		if err = caughtUp(ctx, s); err == nil {
			system, beyond, err = where(ctx, s, run) // it may have come meanwhile
		}
	}
	if err != nil {
		return err
	}
	if beyond {
		return ErrAbsent
	}
	wal, err := backfill.Stream(ctx, s, walstore.Identity{System: system, SegSize: size}, run)
	if err != nil {
		return absent(err)
	}
	return absent(errors.Join(place(path, wal, int64(size)), wal.Close()))
}

// where asks the proxy for its system, and whether the segment lies beyond the end of its WAL.
func where(ctx context.Context, s *upstream.Session, run backfill.Run) (system lsn.SystemID, beyond bool, err error) {
	row, err := ask(ctx, s, grammar.Render(&grammar.IdentifySystem{}, dialect), 3)
	if err != nil {
		return 0, false, err
	}
	id, err1 := strconv.ParseUint(string(row[0]), 10, 64)
	current, err2 := strconv.ParseUint(string(row[1]), 10, 32)
	end, err3 := lsn.Parse(string(row[2]))
	if err := errors.Join(err1, err2, err3); err != nil {
		return 0, false, fmt.Errorf("identify system: %w", err)
	}
	newest := lsn.TimelineID(current)
	return lsn.SystemID(id), run.Timeline > newest || run.Timeline == newest && run.End > end, nil
}

// caughtUp refuses a proxy that does not say that it has all WAL that there is. A release that knows no such question
// is taken at its word.
func caughtUp(ctx context.Context, s *upstream.Session) error {
	row, err := ask(ctx, s, "SHOW "+physical.CaughtUp, 1)
	var refused *pgerror.Error
	switch {
	case errors.As(err, &refused) && refused.Code == pgerror.UndefinedObject:
		return nil
	case err != nil:
		return err
	case string(row[0]) != "on":
		return ErrBehind
	}
	return nil
}

// ask runs a command that answers one row, of columns columns at least; any other answer is an error.
func ask(ctx context.Context, s *upstream.Session, command string, columns int) ([][]byte, error) {
	res, err := s.Query(ctx, command)
	if err != nil {
		return nil, err
	}
	if len(res) != 1 || len(res[0].Rows) != 1 || len(res[0].Rows[0]) < columns {
		return nil, fmt.Errorf("%s: %w: unexpected answer", command, upstream.ErrProtocol)
	}
	return res[0].Rows[0], nil
}

// absent marks err with ErrAbsent if the file is nowhere to be had. It was removed, its timeline is not in the proxy's
// history, or the timeline ended within the segment. Other errors are returned as they are.
func absent(err error) error {
	if err != nil && backfill.Absent(err) {
		return fmt.Errorf("%w: %w", ErrAbsent, err)
	}
	return err
}
