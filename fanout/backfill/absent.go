package backfill

import (
	"errors"
	"os/exec"
	"strings"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

// ErrAbsent: a source answered that it has not got the WAL.
var ErrAbsent = errors.New("it has not got the WAL")

// Absent reports whether err, of one source, says for certain that the source has not got the WAL: it was removed, or
// is in no history of that server. Any other refusal, and no answer, says nothing about that.
func Absent(err error) bool {
	if errors.Is(err, ErrAbsent) || errors.Is(err, ErrTimelineEnded) {
		return true
	}
	var refusal *pgerror.Error
	if !errors.As(err, &refusal) {
		return false
	}
	switch refusal.Code {
	case pgerror.UndefinedFile:
		return true
	case pgerror.InternalError: // PostgreSQL gives these no code of their own; other languages pass for "not known"
		return strings.HasPrefix(refusal.Message, "requested ") &&
			strings.HasSuffix(refusal.Message, "is not in this server's history")
	}
	return false
}

// commandAbsent reports whether restore_command ended as one does that has not found the file: PostgreSQL takes 1 to
// 125 for that.
func commandAbsent(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.ExitCode() >= 1 && exit.ExitCode() <= 125
}
