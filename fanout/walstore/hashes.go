package walstore

import (
	"github.com/cespare/xxhash/v2"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// The hash at a position is the xxhash64 of its segment's bytes from the first one up to it. At the end of a segment it
// covers the whole segment, and is called the segment's digest. It names WAL by its bytes, where a timeline number and
// a position do not (ruling R32).
//
// It is computed as WAL is received, before anybody can read that WAL. Each page of the tail has the state of the hash
// before it, so the hash at any position of the tail costs less than a page of hashing. Below the tail the state before
// each block is remembered for hashedBlocks of them.

// hashedBlocks bounds the remembered states below the tail, one per block: those of a segment of the largest size.
const hashedBlocks = 1024

// sealedKept bounds the remembered digests of complete segments. A member that falls behind by more is asked to look on
// disk.
const sealedKept = 256

// SegmentDigest is the hash of a whole segment.
type SegmentDigest struct {
	Segment
	Sum uint64
}

// hashState is a hash that goes on; ok false: what it should hash is not known.
type hashState struct {
	sum xxhash.Digest
	ok  bool
}

// known is a finished hash, if it is known.
type known struct {
	sum uint64
	ok  bool
}

func (h *hashState) known() known {
	if !h.ok {
		return known{}
	}
	return known{h.sum.Sum64(), true}
}

// begin makes h the hash before a segment's first byte.
func (h *hashState) begin() {
	h.sum.Reset()
	h.ok = true
}

// hashes remembers the hashes of WAL below the tail. Guarded by Store.mu.
type hashes struct {
	blocks [hashedBlocks]blockHash // by number of the block, modulo
	sealed []SegmentDigest         // ascending, at most sealedKept
}

// blockHash is the state before a block; at Invalid: none.
type blockHash struct {
	at  lsn.LSN
	sum xxhash.Digest
}

func (h *hashes) noteBlock(at lsn.LSN, sum *xxhash.Digest) {
	h.blocks[at/BlockSize%hashedBlocks] = blockHash{at, *sum}
}

// block returns the state of the hash before the block that holds at; false: it is not remembered.
func (h *hashes) block(at lsn.LSN) (xxhash.Digest, bool) {
	at -= at % BlockSize
	b := &h.blocks[at/BlockSize%hashedBlocks]
	return b.sum, b.at == at && at != lsn.Invalid
}

func (h *hashes) noteSealed(d SegmentDigest) {
	if len(h.sealed) == sealedKept {
		copy(h.sealed, h.sealed[1:])
		h.sealed = h.sealed[:sealedKept-1]
	}
	h.sealed = append(h.sealed, d)
}

// cut forgets hashes beyond end.
func (h *hashes) cut(end lsn.LSN) {
	for i := range h.blocks {
		if h.blocks[i].at >= end {
			h.blocks[i] = blockHash{}
		}
	}
	for n := len(h.sealed); n > 0 && h.sealed[n-1].End > end; n-- {
		h.sealed = h.sealed[:n-1]
	}
}

// hashReceived takes [at, end), which was checked and is not published yet, into the running hash.
func (s *Store) hashReceived(at, end lsn.LSN) {
	h, size := &s.in.hash, s.segs.size
	for b := (*block)(nil); at < end; {
		if b == nil || at >= b.end() {
			b = s.streamBlock(at)
		}
		if at.IsPageStart() {
			s.notePage(b, at)
		}
		stop := min(end, at.PageStart()+lsn.PageSize)
		if h.ok {
			_, _ = h.sum.Write(b.buf[at-b.start : stop-b.start])
		}
		if at = stop; size.IsStart(at) {
			s.noteSegment(b, at)
		}
	}
}

// notePage keeps the state of the hash before the page at at.
func (s *Store) notePage(b *block, at lsn.LSN) {
	h := &s.in.hash
	if s.segs.size.IsStart(at) {
		h.begin()
	}
	b.sums[(at-b.start)/lsn.PageSize] = h.sum
	if at != b.start {
		return
	}
	if b.hashed = h.ok; h.ok {
		s.mu.Lock()
		s.hashes.noteBlock(at, &h.sum)
		s.mu.Unlock()
	}
}

// noteSegment keeps the digest of the segment that ends at end, with b; none if b was not hashed. It takes s.mu.
func (s *Store) noteSegment(b *block, end lsn.LSN) {
	if !b.hashed {
		return
	}
	b.whole = s.in.hash.sum.Sum64()
	g := Segment{Timeline: s.in.tli, Start: end - s.segLen(), End: end}
	s.mu.Lock()
	s.hashes.noteSealed(SegmentDigest{g, b.whole})
	s.mu.Unlock()
}
