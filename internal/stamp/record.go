package stamp

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// Step names a step of WAL, or of a standby's reply, on its way through the proxy.
type Step uint8

// The steps, in the order of a commit that waits for one standby.
const (
	Readable      Step = iota // the last packet of the message was in the socket
	Read                      // the message was read
	Published                 // received moves
	WriterWoken               // the goroutine that writes WAL to disk has found it
	Written                   // write(2) returned
	SyncBegun                 // the goroutine that syncs has found it
	Synced                    // fdatasync of the WAL returned
	MarkBegun                 // the goroutine that writes the mark has found it
	Marked                    // the mark is durable
	Flushed                   // both are: flushed moves
	SenderWoken               // a standby's send loop has found it
	Sent                      // the write to that standby's socket returned
	ReplyReadable             // the last packet of the reply that confirms its flush was in the socket
	ReplyRead                 // the reply was read
	Asked                     // the reply goes to the slot and to the ledger
	Reporting                 // there is something to report
	Reported                  // the write of the report to the upstream returned
	Steps                     // their number
)

var names = [Steps]string{
	"readable", "read", "published",
	"writer woken", "written", "sync begun", "data synced", "mark begun", "mark synced", "flushed",
	"sender woken", "sent", "reply readable", "reply read", "ledger asked", "reporting", "reported",
}

func (s Step) String() string { return names[s] }

// Who reported, as the Who of a Record of Reported.
const (
	ByReporter int32 = iota // the reporter's own goroutine
	ByReply                 // the one that read a standby's reply
	ByStore                 // the one that wrote or synced WAL
)

// Record holds one stamp.
type Record struct {
	Step Step
	Who  int32   // number of the standby's session, from 1 on; of Reported who did it; else 0
	At   lsn.LSN // the position that the step has reached
	Time int64   // nanoseconds since 1970
}

const recordSize = 1 + 4 + 8 + 8

func (r Record) append(b []byte) []byte {
	b = append(b, byte(r.Step))
	b = binary.BigEndian.AppendUint32(b, uint32(r.Who))
	b = binary.BigEndian.AppendUint64(b, uint64(r.At))
	return binary.BigEndian.AppendUint64(b, uint64(r.Time))
}

// ReadAll reads the output of [Take]: the stamps in no order, and the number of those that found no room.
func ReadAll(r io.Reader) (all []Record, lost int64, err error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, 0, err
	}
	if len(b)%recordSize != 8 {
		return nil, 0, fmt.Errorf("read stamps: %d bytes are no number of records", len(b))
	}
	lost, b = int64(binary.BigEndian.Uint64(b)), b[8:]
	all = make([]Record, 0, len(b)/recordSize)
	for ; len(b) > 0; b = b[recordSize:] {
		x := Record{Step: Step(b[0]), Who: int32(binary.BigEndian.Uint32(b[1:]))}
		x.At, x.Time = lsn.LSN(binary.BigEndian.Uint64(b[5:])), int64(binary.BigEndian.Uint64(b[13:]))
		if x.Step >= Steps {
			return nil, 0, fmt.Errorf("read stamps: step %d", x.Step)
		}
		all = append(all, x)
	}
	return all, lost, nil
}
