package walstoretest

import (
	"math/rand/v2"
	"sort"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// MaxSend is the most WAL that a walsender puts into one message (facts E4).
const MaxSend = 16 * lsn.PageSize

// Message is the WAL of one XLogData.
type Message struct {
	At   lsn.LSN
	Data []byte
}

// End returns the position behind the message.
func (m Message) End() lsn.LSN { return m.At + lsn.LSN(len(m.Data)) }

// Messages cuts the WAL from from to the end as a walsender does: at most MaxSend bytes, cut at page
// boundaries. With rnd the server flushes at random record ends and page boundaries in between, so
// that messages have all lengths; without, everything was flushed before.
func (g *Generator) Messages(from lsn.LSN, rnd *rand.Rand) []Message {
	var out []Message
	for at := from; at < g.End(); {
		flushed := g.End()
		if rnd != nil {
			flushed = g.flushPoint(at, rnd)
		}
		end := min(flushed, g.End())
		if end-at > MaxSend {
			end = (at + MaxSend).PageStart()
		}
		out = append(out, Message{At: at, Data: g.Bytes(at, end)})
		at = end
	}
	return out
}

// flushPoint picks a position behind at at which a server may have flushed: up to four record ends
// later, or the next page boundary.
func (g *Generator) flushPoint(at lsn.LSN, rnd *rand.Rand) lsn.LSN {
	if rnd.IntN(4) == 0 {
		return at.PageStart() + lsn.PageSize
	}
	i := sort.Search(len(g.ends), func(i int) bool { return g.ends[i] > at })
	i = min(i+rnd.IntN(4), len(g.ends)-1)
	return g.ends[i]
}

// Fill appends records of random length until the end is at least to: mostly small ones, some over
// pages, a switch or a broken record now and then.
func (g *Generator) Fill(to lsn.LSN, rnd *rand.Rand) {
	for g.End() < to {
		switch n := rnd.IntN(1000); {
		case n < 2:
			g.Switch()
		case n < 4 && len(g.records) > 0:
			g.Broken(1 + rnd.IntN(2))
		case n < 20:
			g.Record(rnd.IntN(5 * lsn.PageSize))
		default:
			g.Record(rnd.IntN(400))
		}
	}
}
