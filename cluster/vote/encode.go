package vote

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/replproxy/replproxy/cluster/compare"
	"github.com/replproxy/replproxy/grammar/lsn"
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
	e.u64(uint64(r.Bytes.At), r.Bytes.Sum)
	e.silence(r.Silent)
	return e.b, older, e.err
}

// AppendHashes appends the encoding of h. Version 1 does not have it.
func AppendHashes(b []byte, h Hashes) ([]byte, error) {
	e := encoder{b: append(b, version, tagHashes)}
	e.u64(uint64(h.Oldest))
	e.count16(len(h.Pairs), compare.MaxList)
	for _, p := range h.Pairs {
		e.u32(uint32(p.Timeline))
		e.u64(uint64(p.At), p.Sum)
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

// Decode reads one whole message that came in a message version: a [Report], [State], [Hashes], [Asks] or [Lives].
// Every error wraps [ErrEncoding].
func Decode(b []byte, message int) (any, error) {
	if len(b) < headerSize || b[0] != version && b[0] != versionOn || len(b) > MaxStateSize {
		return nil, fmt.Errorf("%w: %d bytes of another version", ErrEncoding, len(b))
	}
	d := decoder{b: b[headerSize:]}
	var m any
	switch {
	case b[0] == version && b[1] == tagReport:
		r := d.report()
		if message >= skips && d.err == nil && len(d.b) > 0 {
			r.Bytes = compare.Pair{Timeline: r.Timeline, At: d.lsn(), Sum: d.u64()}
			if d.err == nil && len(d.b) > 0 {
				r.Silent = d.silence()
			}
		}
		if r.Bytes.At == lsn.Invalid {
			r.Bytes = compare.Pair{}
		}
		m = r
	case b[0] == version && b[1] == tagHashes && message >= skips:
		m = d.hashes()
	case b[0] == version && b[1] == tagAsks && message >= skips:
		m = d.asks()
	case b[0] == version && b[1] == tagLives && message >= skips:
		m = d.lives()
	case b[1] == tagState:
		m = d.longState(b[0], message)
	default:
		d.fail("version %d of tag %q", b[0], b[1])
	}
	if d.err == nil && len(d.b) > 0 && message < skips {
		d.fail("%d bytes too many", len(d.b))
	}
	if d.err != nil {
		return nil, d.err
	}
	return m, nil
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

// decoder reads from the front of b; after the first failure everything is zero.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrEncoding, fmt.Sprintf(format, args...))
	}
	d.b = nil
}

func (d *decoder) take(n int) []byte {
	if d.err != nil || len(d.b) < n {
		d.fail("it ends early")
		return make([]byte, n)
	}
	p := d.b[:n]
	d.b = d.b[n:]
	return p
}

func (d *decoder) u64() uint64  { return binary.BigEndian.Uint64(d.take(8)) }
func (d *decoder) u32() uint32  { return binary.BigEndian.Uint32(d.take(4)) }
func (d *decoder) lsn() lsn.LSN { return lsn.LSN(d.u64()) }

func (d *decoder) flag() bool {
	v := d.take(1)[0]
	if v > 1 {
		d.fail("flag %d", v)
	}
	return v == 1
}

func (d *decoder) count(n, most int) int {
	if n > most {
		d.fail("%d of something, at most %d", n, most)
		return 0
	}
	return n
}

func (d *decoder) count8(most int) int { return d.count(int(d.take(1)[0]), most) }
func (d *decoder) count16(most int) int {
	return d.count(int(binary.BigEndian.Uint16(d.take(2))), most)
}
func (d *decoder) name() string { return string(d.take(d.count8(MaxName))) }
func (d *decoder) text() string { return string(d.take(d.count16(MaxRule))) }

func (d *decoder) report() Report {
	r := Report{Key: Key{d.name(), d.u64()}, Seq: d.u64(), Timeline: lsn.TimelineID(d.u32())}
	r.Write, r.Flush, r.Apply = d.lsn(), d.lsn(), d.lsn()
	r.Streaming = d.flag()
	for range d.count8(MaxDistinct) {
		r.Distinct = append(r.Distinct, d.u64())
	}
	return r
}

func (d *decoder) silence() (s Silence) {
	if at := d.u64(); at != 0 {
		s.Since = time.UnixMicro(int64(at)).UTC()
	}
	s.Host = d.name()
	return s
}

func (d *decoder) hashes() Hashes {
	h := Hashes{Oldest: d.lsn()}
	for range d.count16(compare.MaxList) {
		if d.err != nil {
			break
		}
		h.Pairs = append(h.Pairs, compare.Pair{Timeline: lsn.TimelineID(d.u32()), At: d.lsn(), Sum: d.u64()})
	}
	return h
}

func (d *decoder) asks() (asks Asks) {
	for range d.count8(MaxMembers) {
		if d.err != nil {
			break
		}
		x := Asks{{Node: d.name(), Timeline: lsn.TimelineID(d.u32()), At: d.lsn()}}
		asks = append(asks, x...)
	}
	return asks
}

func (d *decoder) lives() (all Lives) {
	for range d.count8(MaxMembers) {
		if d.err != nil {
			break
		}
		all = append(all, Life{Node: d.name(), Key: d.u64(), Boot: d.u64(), Run: d.u64(), Lives: d.flag()})
	}
	return all
}

// longState reads a State of either form, in a message version.
func (d *decoder) longState(form byte, message int) State {
	var line uint64
	var mark Fingerprint
	if form == versionOn {
		if line, mark.Hash = d.u64(), d.u64(); line == 0 {
			d.fail("no line")
		}
	}
	s := d.state()
	if message >= skips && d.err == nil && len(d.b) > 0 {
		mark.Never = d.take(1)[0]&1 != 0
		if len(d.b) > 0 {
			s.Key, s.Run = d.u64(), d.u64()
		}
	}
	s.HistoryHash, s.FirstWAL = line, mark
	return s
}

func (d *decoder) state() State {
	s := State{Node: d.name(), Boot: d.u64(), Seq: d.u64(), Fenced: lsn.TimelineID(d.u32()), Upstream: d.flag()}
	s.Rule = d.rule()
	for range d.count16(MaxSessions) {
		x := Session{Key: Key{s.Node, d.u64()}}
		kind := d.take(1)[0]
		if kind > byte(Store) {
			d.fail("kind %d", kind)
		}
		x.Kind, x.Name, x.System = Kind(kind), d.name(), lsn.SystemID(d.u64())
		if d.err != nil {
			return s
		}
		s.Sessions = append(s.Sessions, x)
	}
	return s
}

func (d *decoder) rule() Rule {
	r := Rule{Generation: d.u64(), Timeline: lsn.TimelineID(d.u32()), From: d.lsn(), Established: d.flag()}
	r.RuleText, r.Before = d.ruleText(), d.ruleText()
	return r
}

func (d *decoder) ruleText() RuleText {
	r := RuleText{Names: d.text(), Spread: d.text()}
	for range d.count8(MaxZones) {
		z := Zone{Name: d.name()}
		for range d.count8(MaxZones) {
			z.Voters = append(z.Voters, d.name())
		}
		r.Zones = append(r.Zones, z)
	}
	return r
}
