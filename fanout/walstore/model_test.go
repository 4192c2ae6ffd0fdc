package walstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/fanout/walstore/walformat"
	"github.com/replproxy/replproxy/fanout/walstore/walstoretest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// The storage model: random work on a store over a file system that crashes, checked after each
// crash against what the store had published. One seed is one story:
//
//	REPLPROXY_SEED=4711 go test -run TestStorageModel -v ./fanout/walstore
//
// replays it, and REPLPROXY_SEEDS sets how many are told.
const modelSeeds = 1000

func TestStorageModel(t *testing.T) {
	if text := os.Getenv("REPLPROXY_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		tellStory(t, seed)
		return
	}
	seeds := uint64(modelSeeds)
	if text := os.Getenv("REPLPROXY_SEEDS"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seeds = n
	}
	if testing.Short() {
		seeds /= 10
	}
	t.Cleanup(func() { t.Logf("soak: seeds 0 to %d, a story each: %d stories, failed %v", seeds-1, seeds, t.Failed()) })
	for part := range uint64(4) {
		t.Run(fmt.Sprint("part", part), func(t *testing.T) {
			t.Parallel()
			for seed := part; seed < seeds && !t.Failed(); seed += 4 {
				tellStory(t, seed)
			}
		})
	}
}

// errCut is every call's error once the machine has stopped.
var errCut = errors.New("the machine has stopped")

// teller is the part of a test that a story needs.
type teller interface {
	Helper()
	Fatalf(format string, args ...any)
	Failed() bool
}

type model struct {
	t      teller
	seed   uint64
	rnd    *rand.Rand
	looks  *rand.Rand // for what is only looked at: it must not change the story
	disk   *vfs.Mem
	fault  *vfs.Fault
	s      *Store
	g      *walstoretest.Generator // upstream, on the timeline the store follows
	next   *walstoretest.Generator // upstream of a switch that is under way
	at     lsn.LSN                 // where the stream goes on
	newest lsn.TimelineID
	live   bool      // a stream is started
	told   Positions // the highest that were ever published on told.Timeline
	reads  []*Reader
	aside  []asideWAL
	leaves []asideWAL // of the switch to next
	log    []string

	calls  int // file system calls until the machine stops; negative: never
	noSync bool
	full   bool // the disk
	rots   int  // bytes that were changed at rest
	owed   owedModel
	within []string // the stages that run now, each beside the one before
	mutant mutant
}

// asideWAL is WAL that a switch took out of the history.
type asideWAL struct {
	g         *walstoretest.Generator
	fork, end lsn.LSN
}

func tellStory(t teller, seed uint64) { tellSpoiltStory(t, seed, mutant{}) }

func tellSpoiltStory(t teller, seed uint64, spoil mutant) {
	rnd := rand.New(rand.NewPCG(seed, 0x5eed))
	m := &model{t: t, seed: seed, rnd: rnd, disk: vfs.NewMem(), calls: -1, newest: 1, mutant: spoil,
		looks: rand.New(rand.NewPCG(seed, 0x100c))}
	m.g = walstoretest.New(walstoretest.Config{SegSize: testSeg, Major: 14 + rnd.IntN(5)})
	m.reopen()
	for range 4 + rnd.IntN(5) {
		if rnd.IntN(3) == 0 {
			m.calls = rnd.IntN(120)
		}
		for range rnd.IntN(80) {
			if m.t.Failed() || m.s.Err() != nil || m.calls == 0 {
				break
			}
			m.step()
		}
		m.crash()
		m.reopen()
		if t.Failed() {
			return
		}
	}
	_ = m.s.Close()
}

func (m *model) fatalf(format string, args ...any) {
	m.t.Helper()
	tail := m.log[max(0, len(m.log)-400):]
	m.t.Fatalf("seed %d (REPLPROXY_SEED=%d): %s\ntold %+v\nstory: %s\n%s", m.seed, m.seed,
		fmt.Sprintf(format, args...), m.told, strings.Join(tail, "; "), m.disk)
}

// may passes an error that the machine's end explains.
func (m *model) may(what string, err error) bool {
	m.t.Helper()
	if err != nil && m.calls != 0 && !m.noSync && !m.excused(err) {
		m.fatalf("%s: %v", what, err)
	}
	return err == nil
}

func (m *model) note(format string, args ...any) {
	m.log = append(m.log, fmt.Sprintf(format, args...))
}

func (m *model) step() {
	switch n := m.rnd.IntN(100); {
	case n < 40:
		m.receive()
	case n < 58:
		m.stage("write", m.s.writeStep)
	case n < 70:
		m.stage("sync", m.s.syncStep)
	case n < 82:
		m.stage("mark", m.s.markStep)
	case n < 87:
		m.note("make")
		m.may("make", m.s.housekeepingStep())
	case n < 93:
		m.read()
	case n < 96:
		m.holdReader()
	case n < 98:
		m.fork()
	case n < 99:
		m.full = !m.full
		m.note("disk full: %v", m.full)
	default:
		m.note("stream lost")
		m.live = false
	}
	m.sabotage()
	m.publish()
}

// crash stops the process or the machine.
func (m *model) crash() {
	m.closeReaders()
	m.full = false
	switch n := m.rnd.IntN(10); {
	case n < 2 && m.s.Err() == nil && m.calls != 0:
		m.note("clean end")
		err := m.s.drain()
		if m.may("drain", err) {
			m.publish()
		}
		_ = m.s.Close()
		m.disk = m.disk.Kill()
	case n < 5:
		m.note("kill -9")
		m.disk = m.disk.Kill()
	case n < 6 && m.s.Err() == nil && m.calls != 0:
		m.note("fsync failed")
		m.noSync = true
		m.stage("sync", m.s.syncStep)
		m.stage("mark", m.s.markStep)
		m.publish()
		if m.rnd.IntN(2) == 0 {
			m.note("kill -9")
			m.disk = m.disk.Kill()
		} else {
			m.powerLoss()
		}
	default:
		m.powerLoss()
	}
	m.calls, m.noSync, m.live = -1, false, false
	if m.rnd.IntN(12) == 0 || m.mutant.rotten {
		m.rot()
	}
	m.full = m.rnd.IntN(8) == 0
}

func (m *model) powerLoss() {
	m.note("power loss")
	m.disk = m.disk.Crash(m.rnd)
	m.told.Written = m.told.Flushed
}

// hook counts calls down to the machine's end, and fails fsync when told to.
func (m *model) hook(op vfs.Op, name string) error {
	if m.calls == 0 {
		return errCut
	}
	if m.calls > 0 {
		m.calls--
	}
	if op == vfs.OpSync && !m.noSync {
		m.beside()
	}
	if m.calls == 0 {
		return errCut
	}
	if m.noSync && op == vfs.OpSync {
		m.disk.FailSync(name)
		return m.mutant.failedSync()
	}
	if m.mutant.hook != nil {
		if err := m.mutant.hook(op, name); err != nil {
			return err
		}
	}
	return m.noRoom(op, name)
}

// reopen recovers and checks what must be there.
func (m *model) reopen() {
	m.fault = vfs.NewFault(m.disk)
	m.fault.Set(m.hook)
	if m.mutant.before != nil {
		m.mutant.before(m)
	}
	was, marked := m.readMark()
	keep := []int64{0, 1 << 19, 1 << 40}[m.rnd.IntN(3)]
	s, err := Open(context.Background(), Options{
		Dir: "/data", FS: m.fault, TailSize: MinTailSize, KeepSize: keep, Short: m.mutant.short,
	})
	if err != nil {
		m.fatalf("open: %v", err)
	}
	m.s = s
	p := s.Positions()
	m.note("recovered %+v", p)
	if m.next != nil && p.Timeline == m.next.Timeline() {
		// The machine stopped inside StartStream, behind its last write.
		m.g = m.next
		m.aside = append(m.aside, m.leaves...)
		m.told = Positions{Timeline: p.Timeline, Oldest: m.told.Oldest, Flushed: min(m.told.Flushed, m.g.History().Begin())}
	}
	m.next = nil
	if p.Timeline == 0 && m.told.Timeline == 0 {
		return
	}
	atLeast := m.told.Flushed
	for _, r := range m.g.Records() {
		if r.Rmgr == walformat.RmgrXLOG && r.Info == walformat.OverwriteContRecord && r.LSN > m.told.Flushed {
			break // a broken record ends what can be verified
		}
		if r.End <= m.told.Written {
			atLeast = max(atLeast, r.End)
		}
	}
	switch {
	case p.Timeline != m.g.Timeline() && m.told.Timeline != 0:
		m.fatalf("recovered timeline %s, want %s", p.Timeline, m.g.Timeline())
	case p.Received < atLeast && !m.repairs(m.told.Flushed):
		m.fatalf("recovered up to %s, want at least %s", p.Received, atLeast)
	case p.Received > m.g.End():
		m.fatalf("recovered up to %s, upstream ends at %s", p.Received, m.g.End())
	case p.Flushed != p.Received || p.Written != p.Received:
		m.fatalf("recovered positions differ: %+v", p)
	}
	m.told = p
	if marked {
		m.checkOwed(was, p)
	}
	m.sabotage()
	m.compare(p.Oldest, p.Received)
	m.readHashes(p)
	m.checkAside()
}
