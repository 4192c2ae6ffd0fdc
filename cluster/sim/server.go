package sim

import (
	"slices"

	"github.com/replproxy/replproxy/cluster/quorum"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/syncrep"
)

// server is one PostgreSQL server, primary or standby.
type server struct {
	w       *world
	id      int
	name    string
	up      bool
	primary bool
	stopped bool // by the operator, who starts it again
	covered bool // send_when of its name
	loose   bool // it has WAL that it did not get by that
	unsaid  bool // it was made anew, and no proxy was told so
	refused bool // by a proxy, as it may have WAL that was given up

	tli                       lsn.TimelineID
	written, flushed, applied lsn.LSN // a primary's WAL is synced when it is there
	least                     lsn.TimelineID
	restarts                  []place // of a primary: where its lives began
	bestWritten, bestApplied  place   // ever, for the checks

	link *downlink // a standby's

	names   syncrep.Rule // a primary's synchronous_standby_names
	ups     []*uplink
	waiting []commit
}

// commit waits at a primary.
type commit struct {
	at    lsn.LSN
	level func(lsn.Progress) lsn.LSN
	keeps bool // it is durable when acknowledged: not remote_write
}

func byWrite(p lsn.Progress) lsn.LSN { return p.Write }
func byFlush(p lsn.Progress) lsn.LSN { return p.Flush }
func byApply(p lsn.Progress) lsn.LSN { return p.Apply }

func (s *server) furthest() place        { return s.bestWritten }
func (s *server) furthestApplied() place { return s.bestApplied }

func (s *server) end() place { return place{s.tli, s.flushed} }

// number returns the number of the timeline.
func (s *server) number() lsn.TimelineID { return s.w.number(s.tli) }

// insert writes a commit of some client on a running primary.
func (s *server) insert() {
	s.flushed += lsn.LSN(s.w.between(10, 100))
	s.written, s.applied = s.flushed, s.flushed
	c := commit{s.flushed, byFlush, true}
	switch s.w.rng.IntN(6) {
	case 0:
		c = commit{s.flushed, byWrite, false}
	case 1:
		c.level = byApply
	}
	s.waiting = append(s.waiting, c)
	s.w.stats.Commits++
	for _, u := range s.ups {
		u.sendWAL()
	}
}

// release acknowledges the commits that s's own rule covers, as SyncRepReleaseWaiters does.
func (s *server) release() {
	var voters []quorum.Voter
	for i, u := range s.ups {
		voters = append(voters, quorum.Voter{Name: u.p.name, ID: uint64(i), Streaming: true, Positions: u.pos})
	}
	res := quorum.Evaluate(s.names, voters)
	if !res.Satisfied {
		return
	}
	left := s.waiting[:0]
	for _, c := range s.waiting {
		if c.at > c.level(res.Positions) {
			left = append(left, c)
			continue
		}
		s.w.stats.Acked++
		if c.keeps {
			s.w.acknowledged(place{s.tli, c.at})
		}
	}
	s.waiting = left
}

// crash takes the power away: what was not synced is gone, sessions are half open.
func (s *server) crash() {
	s.w.log("%s crashes at %v", s.name, s.end())
	s.w.stats.Crashes++
	s.up = false
	s.written, s.applied = s.flushed, min(s.applied, s.flushed)
	s.restarts = append(s.restarts, s.end())
	s.waiting = nil
	if s.link != nil {
		s.link.gone[1] = true
		s.link = nil
	}
	for _, u := range s.ups {
		u.gone[0] = true
	}
	s.ups = nil
}

// stop stops the server cleanly: everything is synced, sessions end.
func (s *server) stop() {
	s.w.log("%s is stopped at %v", s.name, s.end())
	s.flushed = s.written
	if s.link != nil {
		s.link.leave()
	}
	for _, u := range s.ups {
		u.close(0, u.lost)
	}
	s.ups, s.waiting, s.up = nil, nil, false
}

// tick runs a server's timer: a primary's signs of life; a standby's status, timeout, reconnect.
func (s *server) tick() {
	s.w.after(s.w.between(tick/2, tick), s.tick)
	if !s.up {
		return
	}
	if s.primary {
		for _, u := range slices.Clone(s.ups) {
			if s.w.now-u.alive > timeout {
				u.close(0, u.lost)
				s.ups = slices.DeleteFunc(s.ups, func(x *uplink) bool { return x == u })
			} else {
				u.sendWAL()
			}
		}
		return
	}
	switch d := s.link; {
	case d == nil:
		p := s.w.proxies[s.w.rng.IntN(len(s.w.proxies))]
		if p.number() >= s.least {
			s.w.attach(p, s)
		}
	case s.w.now-d.clientHeard > timeout, !s.w.calm && s.w.chance(60):
		d.leave()
	default:
		d.status()
	}
}

// num and the methods after it are the client's side of a downlink.
func (s *server) num() int         { return s.id }
func (s *server) label() string    { return s.name }
func (s *server) slot() **downlink { return &s.link }
func (s *server) positions() lsn.Progress {
	if at := (place{s.tli, s.written}); !s.w.holds(s.bestWritten, at) {
		s.bestWritten = at // what a crash has taken since was there
	}
	if at := (place{s.tli, s.applied}); !s.w.holds(s.bestApplied, at) {
		s.bestApplied = at
	}
	return lsn.Progress{Write: s.written, Flush: s.flushed, Apply: s.applied}
}
func (s *server) alive() bool             { return s.up && !s.primary }
func (s *server) where() place            { return place{s.tli, s.written} }
func (s *server) turned(t lsn.TimelineID) { s.tli = t }

func (s *server) data(d *downlink, end lsn.LSN) {
	s.written = max(s.written, end)
	d.status()
	target := s.end()
	target.at = s.written
	s.w.after(s.w.between(1, 30), func() {
		if !s.up || s.link != d || s.tli != target.tli {
			return
		}
		s.flushed = max(s.flushed, target.at)
		d.status()
		s.w.after(s.w.between(1, 30), func() {
			if s.up && s.link == d && s.tli == target.tli {
				s.applied = max(s.applied, target.at)
				d.status()
			}
		})
	})
	if s.w.fault == UnsyncedFlush {
		s.claim(d)
	}
}

// claim lies: it reports what was only written as flushed.
func (s *server) claim(d *downlink) {
	p := s.positions()
	p.Flush = p.Write
	d.send(0, func() { d.report(p) })
}
