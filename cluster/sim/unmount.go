package sim

import (
	"slices"

	"github.com/replproxy/replproxy/cluster/loss"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// disk has the content of a proxy's data_dir.
type disk struct {
	boot       uint64
	rule       vote.Rule
	fenced     lsn.TimelineID
	tli        lsn.TimelineID
	received   lsn.LSN // what is beyond flushed goes with the power
	flushed    lsn.LSN
	oldest     lsn.LSN         // before it the store has nothing
	best       place           // the furthest it ever received, for the checks
	reported   lsn.LSN         // the highest flush or apply ever told to a primary; a write may be lost in a crash
	reportedOn lsn.TimelineID  // the number of reported's timeline
	forgot     map[string]bool // the operator removed them, and they were not heard since
	knows      map[string]bool // members that were ever heard

	owing

	losses   loss.Set
	word     *word // of the operator, not used yet
	waived   []waiver
	refused  lack           // by the primary that is not followed
	setAside lsn.TimelineID // the branch that the next start goes on with; 0: as it is
}

func newDisk() disk { return disk{forgot: map[string]bool{}, knows: map[string]bool{}} }

// unmount leaves a proxy that is down without its volume: it starts on an empty data_dir under its old name (ADR 0071).
func (w *world) unmount(p *proxy) {
	other := func(q *proxy) bool { return q.kept != nil }
	if p.up || len(w.proxies) < 2 || w.mixed() || slices.ContainsFunc(w.proxies, other) {
		return
	}
	kept := p.disk
	p.kept, p.disk = &kept, newDisk()
	w.log("the volume of %s is not mounted", p.name)
	w.stats.Unmounted++
}

// mount brings the volume back.
func (p *proxy) mount() {
	if p.kept != nil {
		p.disk, p.kept, p.unproven = *p.kept, nil, false
		p.w.log("the volume of %s is back, with %v", p.name, p.end())
	}
}

// own returns p's data_dir, wherever it is mounted.
func (p *proxy) own() *disk {
	if p.kept != nil {
		return p.kept
	}
	return &p.disk
}

// answered notes whether a member knows p's name: then one that knows of no earlier life ends, and somebody looks at
// its volume.
func (p *proxy) answered(known bool) {
	if !p.unproven {
		return
	}
	if p.unproven = false; !known {
		return
	}
	p.crash(false)
	p.mount()
	p.w.after(p.w.between(200, 3000), func() { p.w.restart(p) })
}
