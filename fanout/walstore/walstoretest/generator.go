package walstoretest

import (
	"encoding/binary"
	"fmt"

	"github.com/replproxy/replproxy/fanout/walstore/walformat"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Config says which server's WAL to make. Zero fields get defaults: PostgreSQL 15, 16 MB segments,
// timeline 1, system 7000000000000000001, the second segment (there never is a first).
type Config struct {
	Major    int
	SegSize  lsn.SegSize
	System   lsn.SystemID
	Timeline lsn.TimelineID
	Start    lsn.LSN // a segment start
}

// Generator appends records to WAL held in memory.
type Generator struct {
	Source  walformat.Source
	tli     lsn.TimelineID
	magic   uint16
	start   lsn.LSN
	buf     []byte // from start on
	records []walformat.Record
	ends    []lsn.LSN // positions at which a server may have flushed, ascending
	history lsn.History
	lines   string // content of the history file
}

// New makes a Generator without records.
func New(c Config) *Generator {
	if c.Major == 0 {
		c.Major = 15
	}
	if c.SegSize == 0 {
		c.SegSize = lsn.DefaultSegSize
	}
	if c.System == 0 {
		c.System = 7000000000000000001
	}
	if c.Timeline == 0 {
		c.Timeline = 1
	}
	if c.Start == 0 {
		c.Start = lsn.LSN(c.SegSize)
	}
	magic, ok := walformat.Magic(c.Major)
	if !ok || !c.SegSize.IsStart(c.Start) {
		panic(fmt.Sprintf("walstoretest: impossible config %+v", c))
	}
	return &Generator{
		Source: walformat.Source{System: c.System, SegSize: c.SegSize, Major: c.Major},
		tli:    c.Timeline, magic: magic, start: c.Start, history: lsn.History{Timeline: c.Timeline},
	}
}

// Timeline returns the timeline of the pages that are made next.
func (g *Generator) Timeline() lsn.TimelineID { return g.tli }

// Start returns the first position.
func (g *Generator) Start() lsn.LSN { return g.start }

// End returns the position behind the last record, as a server's flush position would show it.
func (g *Generator) End() lsn.LSN { return g.start + lsn.LSN(len(g.buf)) }

// Bytes gives the WAL [from, to).
func (g *Generator) Bytes(from, to lsn.LSN) []byte { return g.buf[from-g.start : to-g.start] }

// Records lists the valid records, oldest first.
func (g *Generator) Records() []walformat.Record { return g.records }

// Record appends a no-op record that carries n bytes and gives it.
func (g *Generator) Record(n int) walformat.Record {
	return g.Append(walformat.Record{Info: walformat.Noop}, MainData(pattern(n, g.End())))
}

// ShutdownCheckpoint appends the record that a primary writes last.
func (g *Generator) ShutdownCheckpoint() walformat.Record {
	const checkpointLen = 88
	return g.Append(walformat.Record{Info: walformat.CheckpointShutdown}, MainData(make([]byte, checkpointLen)))
}

// Append appends a record with r's XID, Info and Rmgr; data is everything behind its header.
func (g *Generator) Append(r walformat.Record, data []byte) walformat.Record {
	r.Prev = g.last()
	b := walformat.AppendRecord(nil, r, data)
	at := g.lay(b, 0)
	r = walformat.ParseRecordHeader(b)
	r.LSN, r.End = at, g.End()
	g.records = append(g.records, r)
	g.ends = append(g.ends, g.End())
	return r
}

// Switch appends an XLOG_SWITCH and the zeros up to the end of its segment. Every page boundary in
// them is a position that a server may show.
func (g *Generator) Switch() walformat.Record {
	r := g.Append(walformat.Record{Info: walformat.Switch}, nil)
	for !g.Source.SegSize.IsStart(g.End()) {
		g.buf = append(g.buf, make([]byte, lsn.PageSize-g.End().PageOffset())...)
		g.ends = append(g.ends, g.End())
	}
	return r
}

// Broken appends a record that stops at the n-th page boundary (the server crashed there) and the
// record that says so, with which the server went on.
func (g *Generator) Broken(n int) {
	r := walformat.Record{Info: walformat.Noop, Prev: g.last()}
	data := MainData(pattern(n*lsn.PageSize, g.End()))
	lost := g.lay(walformat.AppendRecord(nil, r, data), n)
	g.ends = append(g.ends, g.End())
	g.header(walformat.FirstIsOverwriteContRecord, 0)
	body := binary.LittleEndian.AppendUint64(nil, uint64(lost))
	body = binary.LittleEndian.AppendUint64(body, 0) // when
	g.Append(walformat.Record{Info: walformat.OverwriteContRecord}, MainData(body))
}

// Fork makes the WAL of a server that was promoted at at, the end of one of g's records: the bytes
// up to at, then timeline tli.
func (g *Generator) Fork(at lsn.LSN, tli lsn.TimelineID) *Generator {
	f := g.Again(at)
	f.tli = tli
	f.lines = g.lines + fmt.Sprintf("%d\t%s\tno recovery target specified\n", g.tli, at)
	h, err := lsn.ParseHistory(tli, []byte(f.lines))
	if err != nil {
		panic(fmt.Sprintf("walstoretest: impossible fork: %v", err))
	}
	f.history = h
	return f
}

// Again makes the WAL of the same server after a crash that took it back to at, the end of one of g's records.
func (g *Generator) Again(at lsn.LSN) *Generator {
	f := *g
	f.buf = append([]byte(nil), g.buf[:at-g.start]...)
	f.records, f.ends = nil, nil
	for _, r := range g.records {
		if r.End <= at {
			f.records = append(f.records, r)
		}
	}
	for _, e := range g.ends {
		if e <= at {
			f.ends = append(f.ends, e)
		}
	}
	return &f
}

// History returns the ancestry of the timeline.
func (g *Generator) History() lsn.History { return g.history }

// HistoryFile returns the content of the timeline's history file; empty for the first timeline.
func (g *Generator) HistoryFile() []byte { return []byte(g.lines) }

func (g *Generator) last() lsn.LSN {
	if n := len(g.records); n > 0 {
		return g.records[n-1].LSN
	}
	return lsn.Invalid
}

// lay puts a record into pages and gives its position. With stop > 0 it ends at the stop-th page
// boundary, else with the padding behind the record.
func (g *Generator) lay(b []byte, stop int) lsn.LSN {
	if g.End().IsPageStart() {
		g.header(0, 0)
	}
	at := g.End()
	for {
		n := min(len(b), lsn.PageSize-g.End().PageOffset())
		g.buf = append(g.buf, b[:n]...)
		if b = b[n:]; len(b) == 0 {
			break
		}
		if stop--; stop == 0 {
			return at
		}
		g.header(walformat.FirstIsContRecord, uint32(len(b)))
	}
	for g.End()%8 != 0 {
		g.buf = append(g.buf, 0)
	}
	return at
}

func (g *Generator) header(info uint16, rest uint32) {
	h := walformat.Header{
		Magic: g.magic, Info: info | walformat.BkpRemovable, Timeline: g.tli, Addr: g.End(), RemLen: rest,
	}
	if g.Source.SegSize.IsStart(g.End()) {
		h.Info |= walformat.LongHeader
		h.System, h.SegSize, h.PageSize = g.Source.System, uint32(g.Source.SegSize), lsn.PageSize
	}
	g.buf = h.Append(g.buf)
}

// MainData puts the header that a record's main data has (facts: access/xlogrecord.h) before b.
func MainData(b []byte) []byte {
	const shortID, longID = 255, 254
	if len(b) == 0 {
		return nil
	}
	if len(b) < 256 {
		return append([]byte{shortID, byte(len(b))}, b...)
	}
	return append(binary.LittleEndian.AppendUint32([]byte{longID}, uint32(len(b))), b...)
}

// pattern gives n bytes that differ from place to place and are never zero.
func pattern(n int, at lsn.LSN) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte((uint64(at)>>3+uint64(i)*7)%255) + 1
	}
	return b
}
