package physical

import (
	"context"
	"encoding/binary"
	"strconv"
	"time"

	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/deadline"
)

const (
	// endDue bounds the wait for the WAL up to the end of a base backup, which an intact stream brings in milliseconds.
	endDue = time.Minute
	// endDelay lies between two looks for it.
	endDelay = 20 * time.Millisecond
)

// backup follows the answer to a BASE_BACKUP (facts I2): the first row is where it begins, the one after the files
// where it ends. Without the WAL up to there it is good for nothing. It is pure.
type backup struct {
	whole bool // it brings its WAL itself
	begun bool
	files bool // some have been copied
}

// newBackup returns the state of a base backup that cmd begins; nil for other commands.
func newBackup(cmd grammar.Command) *backup {
	c, ok := cmd.(*grammar.BaseBackup)
	if !ok {
		return nil
	}
	return &backup{whole: c.WAL}
}

// looksAt reports whether a message of the answer says where the backup begins or ends, or that files were copied. A
// nil b looks at nothing.
func (b *backup) looksAt(typ byte) bool {
	return b != nil && (typ == 'c' || typ == 'D' && (!b.begun || b.files))
}

// hear notes a message for which looksAt is true. begin and end are Invalid unless it says so.
func (b *backup) hear(typ byte, body []byte) (begin, end lsn.Point) {
	switch {
	case typ == 'c':
		b.files = true
	case !b.begun:
		b.begun = true
		begin = backupPoint(body)
	case b.files:
		end = backupPoint(body)
	}
	return begin, end
}

// backupPoint returns recptr and tli, the columns of the first and the last row of a base backup; Invalid when the row
// is another.
func backupPoint(row []byte) (p lsn.Point) {
	fields := columns(row)
	if len(fields) < 2 {
		return p
	}
	at, err := lsn.Parse(fields[0])
	t, err2 := strconv.ParseUint(fields[1], 10, 32)
	if err != nil || err2 != nil {
		return p
	}
	return lsn.Point{Timeline: lsn.TimelineID(t), LSN: at}
}

// columns returns the values of a DataRow, "" for NULL, as many as there are whole.
func columns(row []byte) (values []string) {
	if len(row) < 2 {
		return nil
	}
	for row = row[2:]; len(row) >= 4; {
		n := int32(binary.BigEndian.Uint32(row))
		row = row[4:]
		if n < 0 {
			values = append(values, "")
			continue
		}
		if int(n) > len(row) {
			return values
		}
		values, row = append(values, string(row[:n])), row[n:]
	}
	return values
}

// awaitEnd waits until the store has the WAL up to the end of a base backup. The primary may have been left meanwhile,
// and then the WAL that the client gets from here is another's (ruling R43). A *pgerror.Error ends the session.
func (h *Handler) awaitEnd(ctx context.Context, b *backup, end lsn.Point) error {
	if h.o.Followed == nil || end.LSN == lsn.Invalid {
		return nil
	}
	for until := time.Now().Add(endDue); ; {
		e := pgerror.From(h.o.Followed.Holds(end))
		if e == nil || b.whole && e.Code == pgerror.CannotConnectNow {
			return nil
		}
		if e.Code != pgerror.CannotConnectNow || !time.Now().Before(until) {
			return e.AsFatal()
		}
		if err := deadline.Sleep(ctx, endDelay); err != nil {
			return err
		}
	}
}
