package vote

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/replproxy/replproxy/cluster/compare"
	"github.com/replproxy/replproxy/grammar/lsn"
)

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
			r.Bytes = lsn.Print{Timeline: r.Timeline, LSN: d.lsn(), Sum: d.u64()}
			if d.err == nil && len(d.b) > 0 {
				r.Silent = d.silence()
			}
		}
		if r.Bytes.LSN == lsn.Invalid {
			r.Bytes = lsn.Print{}
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

func (d *decoder) u64() uint64 { return binary.BigEndian.Uint64(d.take(8)) }

func (d *decoder) u32() uint32 { return binary.BigEndian.Uint32(d.take(4)) }

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
		h.Prints = append(h.Prints, lsn.Print{Timeline: lsn.TimelineID(d.u32()), LSN: d.lsn(), Sum: d.u64()})
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
	var history uint64
	var firstWAL Fingerprint
	if form == versionOn {
		if history, firstWAL.Hash = d.u64(), d.u64(); history == 0 {
			d.fail("no history")
		}
	}
	s := d.state()
	if message >= skips && d.err == nil && len(d.b) > 0 {
		firstWAL.Never = d.take(1)[0]&1 != 0
		if len(d.b) > 0 {
			s.Key, s.Run = d.u64(), d.u64()
		}
	}
	s.HistoryHash, s.FirstWAL = history, firstWAL
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
