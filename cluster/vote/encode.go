package vote

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/replproxy/replproxy/cluster/compare"
)

// The first two bytes of an encoding: the version of all of it, then what it is.
const (
	version    = 1
	versionOn  = 2 // a State with a HistoryHash
	tagReport  = 'R'
	tagState   = 'S'
	tagHashes  = 'H'
	tagAsks    = 'Q'
	tagLives   = 'L'
	headerSize = 2
)

// Sizes that Decode never accepts more than; a transport may refuse longer frames unread.
const (
	MaxReportSize = headerSize + 1 + MaxName + 8 + 8 + 4 + 3*8 + 1 + 1 + 8*MaxDistinct
	MaxStateSize  = 1 << 20
)

// ErrEncoding reports bytes that no Append wrote, of the message version in which they came.
var ErrEncoding = errors.New("invalid cluster message")

// skips is the first message version of links (cluster/link) in which bytes after the known ones are skipped.
const skips = 2

// All integers are big-endian; a string is its length in one byte (a rule's texts: two) and its bytes.
//
//	Report  1 'R' node incarnation seq timeline write flush apply flags n n×distinct
//	        version 2 of the messages adds: at hash silent host; silent is in
//	        microseconds since 1970, 0 for none
//	State   1 'S' node boot seq fenced flags rule n(2) n×(incarnation kind name system), or
//	        2 'S' history firstwal and the same
//	        version 2 of the messages adds: flags(1), 1 is FirstWAL.Never, key run
//	Hashes  1 'H' oldest n(2) n×(timeline at hash), from version 2 on
//	Asks    1 'Q' n n×(node timeline at), from version 2 on
//	Lives   1 'L' n n×(node key boot run flag), from version 2 on
//	rule    generation timeline from flags text before
//	text    names(2) spread(2) n n×(zone n n×voter)

// AppendReport appends the encoding of r in the newest message version, or fails when r is outside the bounds. The
// first older bytes of it are what version 1 has.
func AppendReport(b []byte, r Report) (all []byte, older int, err error) {
	e := encoder{b: append(b, version, tagReport)}
	e.name(r.Node)
	e.u64(r.Incarnation, r.Seq)
	e.u32(uint32(r.Timeline))
	e.u64(uint64(r.Write), uint64(r.Flush), uint64(r.Apply))
	e.flag(r.Streaming)
	e.count8(len(r.Distinct), MaxDistinct)
	e.u64(r.Distinct...)
	older = len(e.b) - len(b)
	e.u64(uint64(r.Bytes.LSN), r.Bytes.Sum)
	e.silence(r.Silent)
	return e.b, older, e.err
}

// AppendHashes appends the encoding of h. Version 1 does not have it. It fails with [ErrEncoding] when h is outside the
// bounds; discard what is returned with it.
func AppendHashes(b []byte, h Hashes) ([]byte, error) {
	e := encoder{b: append(b, version, tagHashes)}
	e.u64(uint64(h.Oldest))
	e.count16(len(h.Prints), compare.MaxList)
	for _, p := range h.Prints {
		e.u32(uint32(p.Timeline))
		e.u64(uint64(p.LSN), p.Sum)
	}
	return e.b, e.err
}

// AppendAsks appends Asks, as AppendHashes does Hashes.
func AppendAsks(b []byte, asks Asks) ([]byte, error) {
	e := encoder{b: append(b, version, tagAsks)}
	e.count8(len(asks), MaxMembers)
	for _, a := range asks {
		e.name(a.Node)
		e.u32(uint32(a.Timeline))
		e.u64(uint64(a.At))
	}
	return e.b, e.err
}

// AppendLives appends Lives, as AppendHashes does Hashes.
func AppendLives(b []byte, all Lives) ([]byte, error) {
	e := encoder{b: append(b, version, tagLives)}
	e.count8(len(all), MaxMembers)
	for _, x := range all {
		e.name(x.Node)
		e.u64(x.Key, x.Boot, x.Run)
		e.flag(x.Lives)
	}
	return e.b, e.err
}

// AppendState appends a State, as AppendReport does a Report.
func AppendState(b []byte, s State) (all []byte, older int, err error) {
	e := encoder{b: append(b, version, tagState)}
	if s.HistoryHash != 0 {
		e.b[len(b)] = versionOn
		e.u64(s.HistoryHash, s.FirstWAL.Hash)
	}
	e.name(s.Node)
	e.u64(s.Boot, s.Seq)
	e.u32(uint32(s.Fenced))
	e.flag(s.Upstream)
	e.rule(s.Rule)
	e.count16(len(s.Sessions), MaxSessions)
	for _, x := range s.Sessions {
		if x.Node != s.Node {
			e.fail("a session of node %q in the state of %q", x.Node, s.Node)
		}
		e.u64(x.Incarnation)
		e.b = append(e.b, byte(x.Kind))
		e.name(x.Name)
		e.u64(uint64(x.System))
	}
	older = len(e.b) - len(b)
	e.flag(s.FirstWAL.Never)
	e.u64(s.Key, s.Run)
	if len(e.b)-len(b) > MaxStateSize {
		e.fail("a state of %d bytes", len(e.b)-len(b))
	}
	return e.b, older, e.err
}

type encoder struct {
	b   []byte
	err error
}

func (e *encoder) fail(format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf("%w: %s", ErrEncoding, fmt.Sprintf(format, args...))
	}
}

func (e *encoder) u64(v ...uint64) {
	for _, x := range v {
		e.b = binary.BigEndian.AppendUint64(e.b, x)
	}
}

func (e *encoder) u32(v uint32) { e.b = binary.BigEndian.AppendUint32(e.b, v) }

func (e *encoder) flag(f bool) {
	v := byte(0)
	if f {
		v = 1
	}
	e.b = append(e.b, v)
}

func (e *encoder) count8(n, most int) {
	if n > most {
		e.fail("%d of something, at most %d", n, most)
	}
	e.b = append(e.b, byte(n))
}

func (e *encoder) count16(n, most int) {
	if n > most {
		e.fail("%d of something, at most %d", n, most)
	}
	e.b = binary.BigEndian.AppendUint16(e.b, uint16(n))
}

func (e *encoder) name(s string) {
	e.count8(len(s), MaxName)
	e.b = append(e.b, s...)
}

func (e *encoder) text(s string) {
	e.count16(len(s), MaxRule)
	e.b = append(e.b, s...)
}

func (e *encoder) silence(s Silence) {
	if s.Since.IsZero() {
		e.u64(0)
	} else {
		e.u64(uint64(s.Since.UnixMicro()))
	}
	e.name(s.Host)
}

func (e *encoder) rule(r Rule) {
	e.u64(r.Generation)
	e.u32(uint32(r.Timeline))
	e.u64(uint64(r.From))
	e.flag(r.Established)
	e.ruleText(r.RuleText)
	e.ruleText(r.Before)
}

func (e *encoder) ruleText(d RuleText) {
	e.text(d.Names)
	e.text(d.Spread)
	e.count8(len(d.Zones), MaxZones)
	for _, z := range d.Zones {
		e.name(z.Name)
		e.count8(len(z.Voters), MaxZones)
		for _, v := range z.Voters {
			e.name(v)
		}
	}
}
