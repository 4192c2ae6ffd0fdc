package walstore

import (
	"github.com/cespare/xxhash/v2"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// block is BlockSize bytes of WAL in memory, aligned like the WAL itself. Bytes below the received position never
// change, so any number of readers share them without a lock. Only the ingest goroutine writes above it. The garbage
// collector frees a block after the tail and the last reader. A block must not be reused earlier: a reader would get
// other WAL.
//
// sums[i] hashes the segment from its first byte to the block's page i, and is there once that page has bytes. whole is
// the hash of the segment that ends with the block. Both are valid if hashed is set, see hashes.go.
type block struct {
	start  lsn.LSN
	buf    []byte
	hashed bool // from the block's first valid byte on
	sums   [BlockSize / lsn.PageSize]xxhash.Digest
	whole  uint64
}

func newBlock(at lsn.LSN) *block {
	return &block{start: at - at%BlockSize, buf: make([]byte, BlockSize)}
}

func (b *block) end() lsn.LSN { return b.start + BlockSize }

// tail is the newest WAL: consecutive blocks, of which [low, received) is valid. Guarded by
// Store.mu.
//
//	 blocks[0]              blocks[1]              blocks[2]
//	├──────────────────────┼──────────────────────┼──────────────────────┤
//	       ▲ low                     ▲ written            ▲ received
//	 evicted when wholly below written                    ingest writes here
type tail struct {
	blocks []*block
	low    lsn.LSN
	max    int   // blocks
	before known // hash up to low, unless blocks were dropped since
}

// find gives the block that holds at, nil when there is none.
func (t *tail) find(at lsn.LSN) *block {
	if len(t.blocks) == 0 || at < t.blocks[0].start {
		return nil
	}
	i := (at - t.blocks[0].start) / BlockSize
	if i >= lsn.LSN(len(t.blocks)) {
		return nil
	}
	return t.blocks[i]
}

// makeRoom reports whether one more block may be added, dropping the oldest one that is wholly
// below written when it must.
func (t *tail) makeRoom(written lsn.LSN) bool {
	if len(t.blocks) < t.max {
		return true
	}
	if t.blocks[0].end() > written {
		return false
	}
	copy(t.blocks, t.blocks[1:])
	t.blocks[len(t.blocks)-1] = nil
	t.blocks = t.blocks[:len(t.blocks)-1]
	t.low, t.before = t.blocks[0].start, known{}
	return true
}

// add appends the block that follows the last one.
func (t *tail) add(b *block) { t.blocks = append(t.blocks, b) }

// slices gives the bytes [from, to) in one or two pieces; fewer when they would need three. from
// must be within [low, received], to at most received.
func (t *tail) slices(from, to lsn.LSN) (mem [2][]byte, end lsn.LSN) {
	end = from
	for i := range mem {
		if end >= to {
			break
		}
		b := t.find(end)
		stop := min(to, b.end())
		mem[i] = b.buf[end-b.start : stop-b.start]
		end = stop
	}
	return mem, end
}

// piece gives the bytes [from, to) as far as they lie in one block.
func (t *tail) piece(from, to lsn.LSN) []byte {
	if from >= to {
		return nil
	}
	b := t.find(from)
	return b.buf[from-b.start : min(to, b.end())-b.start]
}

// reset makes the tail hold only r's page, which ends at at. Readers keep the blocks they have: what they look
// at does not change.
func (t *tail) reset(at lsn.LSN, r *resumption) {
	b := newBlock(at)
	t.low, t.before = at-lsn.LSN(len(r.page)), r.before
	copy(b.buf[t.low-b.start:], r.page)
	if b.hashed = r.first.ok; len(r.page) > 0 {
		b.sums[(t.low-b.start)/lsn.PageSize] = r.first.sum
	}
	t.blocks = append(t.blocks[:0:0], b)
}
