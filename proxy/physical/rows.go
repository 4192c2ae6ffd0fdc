package physical

import (
	"encoding/binary"

	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/wire"
)

// Object identifiers of the column types (facts D).
const (
	oidInt8 = 20
	oidInt4 = 23
	oidText = 25
)

// column is one field of a RowDescription. Table, attribute number and format are always 0.
type column struct {
	name    string
	oid     uint32
	typmod  int32
	typeLen int16
}

func textColumn(name string) column { return column{name, oidText, -1, -1} }
func int8Column(name string) column { return column{name, oidInt8, -1, 8} }

// identifyColumns returns the columns of IDENTIFY_SYSTEM. The timeline is int4 through 15, int8 since (facts D).
func identifyColumns(v grammar.Version) []column {
	timeline := column{"timeline", oidInt4, -1, 4}
	if v.Major() >= 16 {
		timeline = int8Column("timeline")
	}
	return []column{textColumn("systemid"), timeline, textColumn("xlogpos"), textColumn("dbname")}
}

// historyColumns returns the columns of TIMELINE_HISTORY. The type modifier is 0 through 15 (facts D).
func historyColumns(v grammar.Version) []column {
	cols := []column{textColumn("filename"), textColumn("content")}
	if v.Major() < 16 {
		cols[0].typmod, cols[1].typmod = 0, 0
	}
	return cols
}

// showColumns returns the one column of SHOW, which is called as the setting.
func showColumns(name string) []column { return []column{textColumn(name)} }

func createSlotColumns() []column {
	return []column{
		textColumn("slot_name"), textColumn("consistent_point"),
		textColumn("snapshot_name"), textColumn("output_plugin"),
	}
}

func readSlotColumns() []column {
	return []column{textColumn("slot_type"), textColumn("restart_lsn"), int8Column("restart_tli")}
}

func nextTimelineColumns() []column {
	return []column{int8Column("next_tli"), textColumn("next_tli_startpos")}
}

// value is one field of a DataRow: nil is NULL.
type value []byte

func text(s string) value { return value(s) }

// null returns SQL's NULL.
func null() value { return nil }

func appendRowDescription(b []byte, cols []column) []byte {
	body := binary.BigEndian.AppendUint16(nil, uint16(len(cols)))
	for _, c := range cols {
		body = append(append(body, c.name...), 0)
		body = append(body, 0, 0, 0, 0, 0, 0)
		body = binary.BigEndian.AppendUint32(body, c.oid)
		body = binary.BigEndian.AppendUint16(body, uint16(c.typeLen))
		body = binary.BigEndian.AppendUint32(body, uint32(c.typmod))
		body = append(body, 0, 0)
	}
	return wire.AppendFrame(b, 'T', body)
}

func appendDataRow(b []byte, values ...value) []byte {
	body := binary.BigEndian.AppendUint16(nil, uint16(len(values)))
	for _, v := range values {
		if v == nil {
			body = binary.BigEndian.AppendUint32(body, ^uint32(0))
			continue
		}
		body = binary.BigEndian.AppendUint32(body, uint32(len(v)))
		body = append(body, v...)
	}
	return wire.AppendFrame(b, 'D', body)
}

// appendResult returns a whole result of one row: description, row, completion.
func appendResult(b []byte, tag string, cols []column, values ...value) []byte {
	return appendComplete(appendDataRow(appendRowDescription(b, cols), values...), tag)
}

func appendComplete(b []byte, tag string) []byte {
	return wire.AppendFrame(b, 'C', append([]byte(tag), 0))
}

// appendReady appends ReadyForQuery of a session that is in no transaction.
func appendReady(b []byte) []byte { return wire.AppendFrame(b, 'Z', []byte{'I'}) }

// ready appends ReadyForQuery. Only a session on a database may be in a transaction.
func (s *session) ready(b []byte) []byte {
	if s.database == nil {
		return appendReady(b)
	}
	return wire.AppendFrame(b, 'Z', []byte{s.status})
}

func appendNotices(b []byte, notices []*pgerror.Error) []byte {
	for _, n := range notices {
		b = wire.AppendError(b, n)
	}
	return b
}
