package hostile

import (
	"math"
	"net"
	"strings"

	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// streams are sent by a standby while it streams.
func streams() []attack {
	var all []attack
	add := func(name, want string, b ...[]byte) *attack {
		all = append(all, attack{name: "stream: " + name, want: want, play: func(p *peer) { p.stream().send(b...) }})
		return &all[len(all)-1]
	}
	// on goes the stream.
	on := func(name string, b ...[]byte) *attack {
		all = append(all, attack{name: "stream: " + name, want: "stream", play: func(p *peer) { p.stream().send(b...).ask() }})
		return &all[len(all)-1]
	}
	position := func(at lsn.LSN) []byte {
		return report(copyboth.StatusUpdate{Progress: lsn.Progress{Write: at, Flush: at, Apply: at}})
	}

	on("positions of the largest number", position(math.MaxUint64))
	on("negative positions", position(1<<63))
	on("positions an hour ahead, then 0, then 1", position(1<<40), position(0), position(1))
	on("flush ahead of write, apply ahead of both", report(copyboth.StatusUpdate{Progress: lsn.Progress{Write: 1, Flush: 1 << 33, Apply: 1 << 34}}))
	on("clock of the year 294246", report(copyboth.StatusUpdate{SentAt: math.MaxInt64}), report(copyboth.StatusUpdate{SentAt: math.MinInt64}))
	on("a report with bytes behind", frame('d', string(copyboth.StatusUpdate{Progress: lsn.Progress{Write: 1}}.Append(nil))+strings.Repeat("x", 1<<20)))
	on("2,000 reports that ask for an answer, at once", []byte(strings.Repeat(string(report(copyboth.StatusUpdate{ReplyRequested: true})), 2000)))
	on("feedback of the largest xids", feedback(copyboth.HotStandbyFeedback{Xmin: math.MaxUint64, CatalogXmin: math.MaxUint64}))
	on("feedback of another epoch", feedback(copyboth.HotStandbyFeedback{Xmin: 77<<32 | 700, CatalogXmin: 78<<32 | 700}))
	on("feedback of xids that are none", feedback(copyboth.HotStandbyFeedback{Xmin: 1, CatalogXmin: 2}))
	on("feedback of the oldest xid", feedback(copyboth.HotStandbyFeedback{Xmin: 3, CatalogXmin: 3}))
	on("feedback of xids 2^31 ahead", feedback(copyboth.HotStandbyFeedback{Xmin: 1 << 31, CatalogXmin: 1<<31 + 1}))
	on("1,000 changes of feedback", changes(1000)...)
	add("Query", "08P01 closed", query("IDENTIFY_SYSTEM"))
	add("START_REPLICATION again", "08P01 closed", query("START_REPLICATION PHYSICAL 0/1000000"))
	add("CopyFail", "08P01 closed", frame('f', "enough\x00"))
	add("Sync and Flush", "08P01 closed", frame('S', ""), frame('H', ""))
	add("password", "08P01 closed", frame('p', "secret\x00"))
	add("WAL, as a primary would", "closed", frame('d', string(copyboth.XLogData{Start: 1 << 24}.AppendHeader(nil))+"WAL"))
	add("a keepalive, as a primary would", "closed", frame('d', string(copyboth.PrimaryKeepalive{WALEnd: 1}.Append(nil))))
	add("unknown replication message", "closed", frame('d', "?"))
	add("empty CopyData", "08P01 ready", frame('d', ""))
	add("report cut short", "08P01 ready", frame('d', "r\x00\x00\x00"))
	add("feedback cut short", "08P01 ready", frame('d', "h\x00\x00\x00"))
	add("CopyData of 1 GB and more", "closed", header('d', 1<<30+5))
	add("CopyData of -1 bytes", "closed", header('d', 0xffffffff))
	add("CopyDone of 20 kB", "closed", frame('c', strings.Repeat("x", 20_000)))
	add("CopyDone, and CopyData behind it", "ready ready", frame('c', ""), position(1), frame('c', ""), frame('f', "x\x00"), query("IDENTIFY_SYSTEM"))
	add("half a report, then the end", "closed").play = func(p *peer) { p.stream().send(position(1)[:20]).half() }
	add("the end without a word", "closed").play = func(p *peer) { p.stream().half() }
	add("reset", "").play = func(p *peer) {
		p.stream()
		if p.err == nil {
			_ = p.conn.(*net.TCPConn).SetLinger(0)
		}
	}
	on("a report in single bytes").play = func(p *peer) {
		p.stream()
		for _, b := range position(1) {
			p.send([]byte{b})
		}
		p.ask()
	}
	add("cancelled", "57014 ready").play = func(p *peer) {
		p.stream()
		other := &peer{w: p.w, ctx: p.ctx, port: p.port}
		p.closers = append(p.closers, closer(other.close))
		other.dial().send(cancelRequest(p.pid, p.key))
	}
	add("cancelled with a key that is nearly right", "stream").play = func(p *peer) {
		p.stream()
		other := &peer{w: p.w, ctx: p.ctx, port: p.port}
		p.closers = append(p.closers, closer(other.close))
		for bit := range 32 {
			key := append([]byte(nil), p.key...)
			if bit/8 < len(key) {
				key[bit/8] ^= 1 << (bit % 8)
			}
			other.dial().send(cancelRequest(p.pid, key)).judge([]string{"closed"})
		}
		if other.err != nil {
			p.fail("cancel: %w", other.err)
		}
		p.ask()
	}
	add("application_name of all bytes", "stream").play = func(p *peer) {
		p.stream("application_name='" + strings.Repeat("\x01\x7f\"<script>\u00e4", 20) + "'").ask()
	}
	add("wal_sender_timeout of 1 ms", "closed").play = func(p *peer) { p.stream("options='-c wal_sender_timeout=1'") }
	return all
}

// changes are n feedbacks that differ.
func changes(n int) (all [][]byte) {
	for i := range n {
		all = append(all, feedback(copyboth.HotStandbyFeedback{Xmin: copyboth.FullXID(700 + i%7)}))
	}
	return all
}

type closer func()

func (c closer) Close() error { c(); return nil }
