package hostile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/wire"
)

// lie is one named case: what an upstream says instead of the truth.
type lie struct {
	name string
	edit func() edit
	want string // what the proxy says of it; "": nothing, and the stream goes on

	segment bool // it is about the start of a segment that is new to the proxy
}

// once makes an edit that needs no memory.
func once(e edit) func() edit { return func() edit { return e } }

// inLogIn replaces the first message of a log-in that has this type; 0: the very first one.
func inLogIn(typ byte, b ...[]byte) func() edit {
	return once(func(l *leg, t byte, body []byte) []byte {
		if !l.walsender() || l.loggedIn || t != typ && (typ != 0 || l.number > 0) {
			return whole(t, body)
		}
		return bytes.Join(b, nil)
	})
}

// answer replaces all that is said to a command.
func answer(command string, b ...[]byte) func() edit {
	return once(func(l *leg, t byte, body []byte) []byte {
		switch {
		case !l.walsender() || !strings.HasPrefix(l.command, command):
			return whole(t, body)
		case l.number == 0:
			return bytes.Join(b, nil)
		}
		return nil
	})
}

// inStream changes the messages of a stream.
func inStream(e edit) func() edit {
	return once(func(l *leg, t byte, body []byte) []byte {
		if !l.walsender() || !strings.HasPrefix(l.command, "START_REPLICATION") || l.number == 0 {
			return whole(t, body)
		}
		return e(l, t, body)
	})
}

// says puts messages in front of the first WAL.
func says(b ...[]byte) func() edit {
	return inStream(func(l *leg, t byte, body []byte) []byte {
		if l.number > 1 {
			return whole(t, body)
		}
		return append(bytes.Join(b, nil), whole(t, body)...)
	})
}

// wal changes every message of WAL.
func wal(change func(l *leg, x copyboth.XLogData, data []byte) []byte) func() edit {
	return inStream(func(l *leg, t byte, body []byte) []byte {
		if t != 'd' || len(body) < copyboth.XLogDataHeaderSize || body[0] != copyboth.TagXLogData {
			return whole(t, body)
		}
		x, err := copyboth.DecodeXLogData(body[:copyboth.XLogDataHeaderSize])
		if err != nil {
			return whole(t, body)
		}
		return change(l, x, body[copyboth.XLogDataHeaderSize:])
	})
}

func xlog(x copyboth.XLogData, data []byte) []byte {
	return wire.AppendFrame(nil, 'd', append(x.AppendHeader(nil), data...))
}

// page changes bytes of the first page of a segment, which every stream begins with.
func page(at int, to ...byte) func() edit {
	return wal(func(_ *leg, x copyboth.XLogData, data []byte) []byte {
		if x.Start%(16<<20) == 0 && len(data) > at+len(to) {
			copy(data[at:], to)
		}
		return xlog(x, data)
	})
}

// row is an answer of rows with as many columns as the first has; "NULL" is NULL.
func row(tag string, values ...string) []byte {
	t := binary.BigEndian.AppendUint16(nil, uint16(len(values)))
	for range values {
		t = append(append(t, "c\x00"...), make([]byte, 18)...)
	}
	return bytes.Join([][]byte{whole('T', t), dataRow(values...), frame('C', tag+"\x00")}, nil)
}

func dataRow(values ...string) []byte {
	d := binary.BigEndian.AppendUint16(nil, uint16(len(values)))
	for _, v := range values {
		if v == "NULL" {
			d = binary.BigEndian.AppendUint32(d, math.MaxUint32)
			continue
		}
		d = append(binary.BigEndian.AppendUint32(d, uint32(len(v))), v...)
	}
	return whole('D', d)
}

var (
	ready      = frame('Z', "I")
	noSQLState = frame('E', "SERROR\x00Mno code\x00\x00")
	noEnd      = frame('E', "SERROR\x00C57P01\x00Mno end")
)

func many(b []byte, n int) []byte { return bytes.Repeat(b, n) }

// logInLies come before the walsender is one.
func logInLies() []lie {
	authentication := func(kind uint32, rest string) []byte {
		return frame('R', string(binary.BigEndian.AppendUint32(nil, kind))+rest)
	}
	var parameters []byte
	for i := range 200_000 {
		parameters = append(parameters, frame('S', fmt.Sprintf("name_%d\x00%0100d\x00", i, i))...)
	}
	return []lie{
		{name: "log-in: authentication of an unknown kind", edit: inLogIn(0, authentication(99, "")), want: "no WAL from upstream"},
		{name: "log-in: authentication without a kind", edit: inLogIn(0, frame('R', "")), want: "no WAL from upstream"},
		{name: "log-in: md5 without a salt", edit: inLogIn(0, authentication(5, "")), want: "no WAL from upstream"},
		{name: "log-in: SASL without a mechanism", edit: inLogIn(0, authentication(10, "\x00")), want: "no WAL from upstream"},
		{name: "log-in: SASL without an end", edit: inLogIn(0, authentication(10, "SCRAM-SHA-256")), want: "no WAL from upstream"},
		{name: "log-in: SASL continued before it began", edit: inLogIn(0, authentication(11, "r=x,s=eA==,i=1")), want: "no WAL from upstream"},
		{name: "log-in: error without a SQLSTATE", edit: inLogIn(0, noSQLState), want: "no code"},
		{name: "log-in: error without an end", edit: inLogIn(0, noEnd), want: "no WAL from upstream"},
		{name: "log-in: error of protocol 2.0", edit: inLogIn(0, []byte("Esorry, too many clients already\n\x00")), want: "no WAL from upstream"},
		{name: "log-in: length of 0", edit: inLogIn(0, []byte{'R', 0, 0, 0, 0}), want: "invalid message length"},
		{name: "log-in: length of -1", edit: inLogIn(0, header('R', math.MaxUint32)), want: "invalid message length"},
		{name: "log-in: message of 2 GB", edit: inLogIn(0, header('S', math.MaxInt32)), want: "no WAL from upstream"},
		{name: "log-in: 200,000 parameters", edit: inLogIn('K', parameters, frame('K', "\x00\x00\x00\x01\x00\x00\x00\x02")), want: "no WAL from upstream"},
		{name: "log-in: key of 3 bytes", edit: inLogIn('K', frame('K', "\x00\x00\x00")), want: "no WAL from upstream"},
		{name: "log-in: key of 1 MB", edit: inLogIn('K', frame('K', string(make([]byte, 1<<20)))), want: ""},
		{name: "log-in: protocol 2.0 negotiated", edit: inLogIn(0, frame('v', "\x00\x02\x00\x00\x00\x00\x00\x00")), want: "no WAL from upstream"},
		{name: "log-in: 2^31 options negotiated", edit: inLogIn(0, frame('v', "\x00\x03\x00\x00\x7f\xff\xff\xff")), want: "no WAL from upstream"},
		{name: "log-in: ready before it is over", edit: inLogIn(0, ready), want: "no WAL from upstream"},
		{name: "log-in: stream at once", edit: inLogIn(0, frame('W', "\x00\x00\x00")), want: "no WAL from upstream"},
		{name: "log-in: server_version of nothing", edit: answer("SHOW server_version_num", row("SHOW", "x"), ready), want: ""},
	}
}

// commandLies are answers.
func commandLies() []lie {
	identify := func(values ...string) func() edit {
		return answer("IDENTIFY_SYSTEM", row("IDENTIFY_SYSTEM", values...), ready)
	}
	id := func(at int, value string) func() edit { // one column changed, the others as they are
		return once(func(l *leg, t byte, body []byte) []byte {
			if !l.walsender() || l.command != "IDENTIFY_SYSTEM" || t != 'D' {
				return whole(t, body)
			}
			fields := columns(body)
			fields[at] = value
			return dataRow(fields...)
		})
	}
	show := func(name, value string) func() edit { return answer("SHOW "+name, row("SHOW", value), ready) }
	history := func(b ...[]byte) func() edit {
		identity, told := id(1, "2")(), answer("TIMELINE_HISTORY 2", b...)()
		return once(func(l *leg, t byte, body []byte) []byte {
			if l.command == "IDENTIFY_SYSTEM" {
				return identity(l, t, body)
			}
			return told(l, t, body)
		})
	}
	file := func(name, content string) []byte { return append(row("TIMELINE_HISTORY", name, content), ready...) }
	slot := func(values ...string) func() edit {
		return answer("READ_REPLICATION_SLOT", row("READ_REPLICATION_SLOT", values...), ready)
	}
	return []lie{
		{name: "IDENTIFY_SYSTEM: no row", edit: answer("IDENTIFY_SYSTEM", frame('C', "IDENTIFY_SYSTEM\x00"), ready), want: "identify system"},
		{name: "IDENTIFY_SYSTEM: nothing", edit: answer("IDENTIFY_SYSTEM", ready), want: "identify system"},
		{name: "IDENTIFY_SYSTEM: two rows", edit: answer("IDENTIFY_SYSTEM", row("X", "1", "1", "0/0", ""), row("X", "2", "1", "0/0", ""), ready), want: "system identifier differs"},
		{name: "IDENTIFY_SYSTEM: one column", edit: identify("1"), want: "identify system"},
		{name: "IDENTIFY_SYSTEM: NULLs", edit: identify("NULL", "NULL", "NULL", "NULL"), want: "identify system"},
		{name: "IDENTIFY_SYSTEM: 60,000 columns", edit: identify(strings.Split(strings.Repeat("1,", 60_000), ",")...), want: "identify system"},
		{name: "IDENTIFY_SYSTEM: row that claims more columns than it has", edit: answer("IDENTIFY_SYSTEM", frame('D', "\xff\xff\x00\x00\x00\x01x"), ready), want: "malformed DataRow"},
		{name: "IDENTIFY_SYSTEM: column of 2 GB", edit: answer("IDENTIFY_SYSTEM", frame('D', "\x00\x01\x7f\xff\xff\xff"), ready), want: "malformed DataRow"},
		{name: "IDENTIFY_SYSTEM: row of 60 MB", edit: identify(strings.Repeat("7", 60<<20), "1", "0/0", ""), want: "at most"},
		{name: "IDENTIFY_SYSTEM: description that lies", edit: answer("IDENTIFY_SYSTEM", frame('T', "\xff\xffc\x00"), ready), want: "malformed RowDescription"},
		{name: "IDENTIFY_SYSTEM: stream at once", edit: answer("IDENTIFY_SYSTEM", frame('W', "\x00\x00\x00")), want: "CopyBothResponse"},
		{name: "IDENTIFY_SYSTEM: error without a SQLSTATE", edit: answer("IDENTIFY_SYSTEM", noSQLState, ready), want: "malformed ErrorResponse"},
		{name: "IDENTIFY_SYSTEM: error without an end", edit: answer("IDENTIFY_SYSTEM", noEnd, ready), want: "malformed ErrorResponse"},
		{name: "IDENTIFY_SYSTEM: 10 million commands complete", edit: answer("IDENTIFY_SYSTEM", many([]byte("I\x00\x00\x00\x04"), 10_000_000), ready), want: "answer of more than"},
		{name: "IDENTIFY_SYSTEM: 3 million rows of no column", edit: answer("IDENTIFY_SYSTEM", many(frame('D', "\x00\x00"), 3_000_000), ready), want: "answer of more than"},
		{name: "IDENTIFY_SYSTEM: 3 million notices", edit: answer("IDENTIFY_SYSTEM", many(frame('N', "\x00"), 3_000_000), ready), want: "answer of more than"},
		{name: "IDENTIFY_SYSTEM: 200,000 parameters", edit: answer("IDENTIFY_SYSTEM", parameterFlood(200_000), ready), want: "more than"},
		{name: "another system", edit: id(0, "7000000000000000001"), want: "7000000000000000001"},
		{name: "no system", edit: id(0, "0"), want: "identify system"},
		{name: "timeline 0", edit: id(1, "0"), want: "identify system"},
		{name: "timeline -1", edit: id(1, "-1"), want: "identify system"},
		{name: "timeline 4294967295", edit: id(1, "4294967295"), want: "is not believable"},
		{name: "timeline without a history", edit: id(1, "2"), want: "00000002.history"},
		{name: "position that is none", edit: id(2, "nowhere"), want: "identify system"},
		{name: "position of the largest number", edit: id(2, "FFFFFFFF/FFFFFFFF"), want: ""},
		{name: "position before all WAL", edit: id(2, "0/1"), want: "the primary has lost WAL up to "},
		{name: "history by another name", edit: history(file("00000003.history", "1\t0/1000000\tx\n")), want: "unexpected file name"},
		{name: "history by a path for a name", edit: history(file("../../00000002.history", "1\t0/1000000\tx\n")), want: "unexpected file name"},
		{name: "history of garbage", edit: history(file("00000002.history", "\x00\xff\x00 garbage")), want: "history of timeline 2"},
		{name: "history that ends in the future", edit: history(file("00000002.history", "7\t0/1000000\tx\n")), want: "history of timeline 2"},
		{name: "history that goes back", edit: history(file("00000002.history", "1\t0/9000000\tx\n1\t0/1000000\tx\n")), want: "history of timeline 2"},
		{name: "history of 100 MB", edit: history(header('D', 100<<20), make([]byte, 1<<20)), want: "at most"},
		{name: "history of NULL", edit: history(append(row("TIMELINE_HISTORY", "00000002.history", "NULL"), ready...)), want: "requested timeline 1 is not in this server's history"},
		{name: "history that forks before all WAL", edit: history(file("00000002.history", "1\t0/28\tx\n")), want: "requested timeline 2 is not in this server's history"},
		{name: "wal_segment_size banana", edit: show("wal_segment_size", "banana"), want: "wal_segment_size"},
		{name: "wal_segment_size 0", edit: show("wal_segment_size", "0"), want: "wal_segment_size"},
		{name: "wal_segment_size 3MB", edit: show("wal_segment_size", "3MB"), want: "wal_segment_size"},
		{name: "wal_segment_size -16MB", edit: show("wal_segment_size", "-16MB"), want: "wal_segment_size"},
		{name: "wal_segment_size 99999999999999999999TB", edit: show("wal_segment_size", "99999999999999999999TB"), want: "wal_segment_size"},
		{name: "wal_segment_size 64MB, which the store has not", edit: show("wal_segment_size", "64MB"), want: "WAL segment size differs"},
		{name: "wal_segment_size NULL", edit: show("wal_segment_size", "NULL"), want: "wal_segment_size"},
		{name: "server_version_num 90000", edit: show("server_version_num", "90000"), want: "not supported"},
		{name: "server_version_num -1", edit: show("server_version_num", "-1"), want: "not supported"},
		{name: "server_version_num of another major", edit: show("server_version_num", "990001"), want: "PostgreSQL 99"},
		{name: "wal_sender_timeout of 1 ms", edit: show("wal_sender_timeout", "1ms"), want: ""},
		{name: "wal_sender_timeout of nonsense", edit: show("wal_sender_timeout", "-999999999999999999999d"), want: ""},
		{name: "max_wal_senders -7", edit: show("max_wal_senders", "-7"), want: ""},
		{name: "slot of NULLs", edit: slot("NULL", "NULL", "NULL"), want: ""},
		{name: "slot that is logical", edit: slot("logical", "0/1000000", "1"), want: ""},
		{name: "slot of garbage", edit: slot("physical", "garbage", "garbage"), want: "read slot"},
		{name: "slot at the end of all WAL", edit: slot("physical", "FFFFFFFF/FFFFFFFF", "1"), want: ""},
		{name: "slot on timeline 4294967295", edit: slot("physical", "0/1000000", "4294967295"), want: ""},
		{name: "slot of 10 columns", edit: slot("physical", "0/1000000", "1", "", "", "", "", "", "", ""), want: ""},
		{name: "START_REPLICATION: COPY IN", edit: answer("START_REPLICATION", frame('G', "\x00\x00\x00")), want: "unexpected message type"},
		{name: "START_REPLICATION: COPY OUT", edit: answer("START_REPLICATION", frame('H', "\x00\x00\x00")), want: "unexpected message type"},
		{name: "START_REPLICATION: complete", edit: answer("START_REPLICATION", frame('C', "START_REPLICATION\x00"), ready), want: "after the end of streaming"},
		{name: "START_REPLICATION: next timeline 0", edit: answer("START_REPLICATION", row("START_STREAMING", "0", "0/1000000"), frame('C', "START_REPLICATION\x00"), ready), want: "next timeline"},
		{name: "START_REPLICATION: the timeline ends where it began", edit: answer("START_REPLICATION", row("START_STREAMING", "1", "0/1000000"), frame('C', "START_REPLICATION\x00"), ready), want: "identify system"},
	}
}

func parameterFlood(n int) (b []byte) {
	for i := range n {
		b = append(b, frame('S', fmt.Sprintf("name_%d\x00%0100d\x00", i, i))...)
	}
	return b
}

// streamLies are about WAL.
func streamLies() []lie {
	moved := func(by int64) func() edit {
		return wal(func(_ *leg, x copyboth.XLogData, data []byte) []byte {
			x.Start += lsn.LSN(by)
			return xlog(x, data)
		})
	}
	end := func(to lsn.LSN) func() edit {
		return wal(func(_ *leg, x copyboth.XLogData, data []byte) []byte {
			x.WALEnd = to
			return xlog(x, data)
		})
	}
	next := func(timeline, at string) [][]byte {
		return [][]byte{frame('c', ""), row("START_STREAMING", timeline, at), frame('C', "START_REPLICATION\x00"), ready}
	}
	ping := wire.AppendFrame(nil, 'd', copyboth.PrimaryKeepalive{WALEnd: 1, ReplyRequested: true}.Append(nil))
	return []lie{
		{name: "stream: WAL from further on", edit: moved(8192), want: "expected"},
		{name: "stream: WAL from before", edit: moved(-8192), want: "expected"},
		{name: "stream: WAL at the end of all WAL", edit: moved(math.MinInt64), want: "expected"},
		{name: "stream: every message twice", edit: wal(func(_ *leg, x copyboth.XLogData, data []byte) []byte {
			return append(xlog(x, data), xlog(x, data)...)
		}), want: "expected"},
		{name: "stream: every second message left out", edit: wal(func(l *leg, x copyboth.XLogData, data []byte) []byte {
			if l.number%2 == 0 {
				return nil
			}
			return xlog(x, data)
		}), want: "expected"},
		{name: "stream: WAL end behind its start", edit: end(1), want: ""},
		{name: "stream: WAL end of the largest number", edit: end(math.MaxUint64), want: ""},
		{name: "stream: a byte that is stored differs", edit: page(8000, 0xde, 0xad), want: "differs"},
		{name: "stream: magic of another version", edit: page(0, 0xff, 0xff), want: "differs"},
		{name: "stream: new WAL whose records do not check", edit: newPages(4000, 0xde, 0xad, 0xbe, 0xef), want: ""},
		{name: "stream: new WAL with a magic of another version", edit: newPages(0, 0xff, 0xff), want: ": magic is FFFF"},
		{name: "stream: new WAL of another address", edit: newPages(8, 0, 0, 0, 0, 0, 0, 0, 1), want: ": page address is "},
		{name: "stream: new WAL of timeline 9", edit: newPages(4, 9, 0, 0, 0), want: ": timeline is "},
		{name: "stream: new WAL of timeline 0", edit: newPages(4, 0, 0, 0, 0), want: ": timeline is "},
		{name: "stream: new WAL of another system", edit: newSegments(24, 1, 2, 3, 4, 5, 6, 7, 8), want: ": system identifier is ", segment: true},
		{name: "stream: new WAL of another segment size", edit: newSegments(32, 0, 0, 0, 4), want: ": segment size is ", segment: true},
		{name: "stream: WAL shorter than its header", edit: says(frame('d', "w\x00\x00\x00")), want: "XLogData of 4 bytes"},
		{name: "stream: WAL of 1 GB in one message", edit: says(header('d', 1<<30), xlog(copyboth.XLogData{Start: 1 << 24}, nil)[5:]), want: "bytes of WAL in one message"},
		{name: "stream: length of 0", edit: says([]byte{'d', 0, 0, 0, 0}), want: "invalid message length"},
		{name: "stream: length of -1", edit: says(header('d', math.MaxUint32)), want: "invalid message length"},
		{name: "stream: parameter of 1 GB", edit: says(header('S', 1<<30)), want: "at most"},
		{name: "stream: empty CopyData", edit: says(frame('d', "")), want: "empty replication message"},
		{name: "stream: unknown message", edit: says(frame('d', "?x")), want: "invalid replication message type 63"},
		{name: "stream: status of a standby", edit: says(report(copyboth.StatusUpdate{})), want: "invalid replication message type 114"},
		{name: "stream: keepalive cut short", edit: says(frame('d', "k\x00\x00")), want: "keepalive of 3 bytes"},
		{name: "stream: keepalive too long", edit: says(frame('d', "k"+strings.Repeat("x", 20))), want: "keepalive of 21 bytes"},
		{name: "stream: 100,000 pings at once", edit: says(many(ping, 100_000)), want: ""},
		{name: "stream: 100,000 messages without WAL", edit: emptyWAL(100_000), want: ""},
		{name: "stream: WAL in single bytes", edit: wal(func(l *leg, x copyboth.XLogData, data []byte) (b []byte) {
			for i := range min(len(data), 5000) {
				b = append(b, xlog(copyboth.XLogData{Start: x.Start + lsn.LSN(i), WALEnd: x.WALEnd}, data[i:i+1])...)
			}
			if len(data) > 5000 {
				b = append(b, xlog(copyboth.XLogData{Start: x.Start + 5000, WALEnd: x.WALEnd}, data[5000:])...)
			}
			return b
		}), want: ""},
		{name: "stream: 100,000 notices", edit: says(many(frame('N', "SNOTICE\x00C00000\x00Mhello\x00\x00"), 100_000)), want: ""},
		{name: "stream: 200,000 parameters", edit: says(parameterFlood(200_000)), want: "more than"},
		{name: "stream: in_hot_standby on and off 10,000 times", edit: says(many(append(frame('S', "in_hot_standby\x00on\x00"), frame('S', "in_hot_standby\x00off\x00")...), 10_000)), want: ""},
		{name: "stream: ready", edit: says(ready), want: "unexpected message type"},
		{name: "stream: row", edit: says(dataRow("x")), want: "unexpected message type"},
		{name: "stream: stream again", edit: says(frame('W', "\x00\x00\x00")), want: "unexpected message type"},
		{name: "stream: question for a password", edit: says(frame('R', "\x00\x00\x00\x03")), want: "unexpected message type"},
		{name: "stream: error without a SQLSTATE", edit: says(noSQLState), want: "malformed ErrorResponse"},
		{name: "stream: error without an end", edit: says(noEnd), want: "malformed ErrorResponse"},
		{name: "stream: COPY 0, as at a shutdown that is none", edit: says(frame('C', "COPY 0\x00")), want: "replication terminated by primary server"},
		{name: "stream: end of the timeline without a next one", edit: says(frame('c', ""), frame('C', "x\x00"), ready), want: "after the end of streaming"},
		{name: "stream: next timeline beyond all WAL", edit: says(next("2", "FFFF/0")...), want: "WAL came only up to"},
		{name: "stream: next timeline 0", edit: says(next("0", "0/1000000")...), want: "next timeline"},
		{name: "stream: next timeline that nobody knows", edit: says(next("2", "0/1000000")...), want: "identify system"},
		{name: "stream: cut within a message", edit: wal(func(l *leg, x copyboth.XLogData, data []byte) []byte {
			l.cut = true
			b := xlog(x, data)
			return b[:len(b)/2]
		}), want: "closed the connection unexpectedly"},
	}
}

// newPages changes a page header that is not stored yet: of any page but a segment's first.
func newPages(at int, to ...byte) func() edit { return headers(8192, false, at, to) }

// newSegments changes the long header of a segment that is not stored yet.
func newSegments(at int, to ...byte) func() edit { return headers(16<<20, true, at, to) }

// headers leaves WAL that the connection sends again alone: the segment that it begins with up to the store's end. The
// first message that is not full ends that.
func headers(every lsn.LSN, long bool, at int, to []byte) func() edit {
	return func() edit {
		return wal(func(l *leg, x copyboth.XLogData, data []byte) []byte {
			if l.fresh {
				first := (x.Start + every - 1) / every * every
				if i := int(first - x.Start); i+at+len(to) <= len(data) && (long || first%(16<<20) != 0) {
					copy(data[i+at:], to)
				}
			}
			l.fresh = l.fresh || len(data) < 128<<10
			return xlog(x, data)
		})()
	}
}

// emptyWAL puts messages without WAL in front of the first one.
func emptyWAL(n int) func() edit {
	return wal(func(l *leg, x copyboth.XLogData, data []byte) []byte {
		b := xlog(x, data)
		if l.number == 1 {
			b = append(many(xlog(copyboth.XLogData{Start: x.Start}, nil), n), b...)
		}
		return b
	})
}
