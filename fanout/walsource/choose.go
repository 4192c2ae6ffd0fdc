package walsource

import (
	"context"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// choose elects one of the servers that were asked in sessions; see elect. Where none will do, it looks at the bytes of
// those that lack WAL: another server may be at an address by now than the one that was refused there.
func (r *Supply) choose(ctx context.Context, b grounds, all []candidate, sessions []Conn) (best int, refused []error) {
	if best, refused = elect(b, all); best >= 0 {
		return best, refused
	}
	for i := range all { // nobody is waiting for the one that is followed
		c, s := &all[i], sessions[i]
		if c.err != nil {
			continue
		}
		c.srv.known = b.known
		r.lookAtRefused(ctx, s, &c.srv, b)
		r.part(ctx, s, s.Endpoint(), &c.srv, c.srv.known.lack(c.srv))
	}
	had, _, _ := r.had(b.have)
	r.remember(&b.known, had)
	return elect(b, all)
}

// lookAtRefused has recognise look at srv if an election refuses it for WAL that it lacks. The refusal then has all
// that it lacks, and does not outlive the server that it was about. A look that fails changes nothing.
func (r *Supply) lookAtRefused(ctx context.Context, s Conn, srv *server, b grounds) {
	if had, _, _ := r.had(b.have); had == (lsn.Print{}) || srv.known.lack(*srv) == nil {
		return
	}
	asking, cancel := context.WithTimeout(ctx, interviewPatience)
	defer cancel()
	looked := *srv
	err := readSettings(asking, s, &looked)
	if err == nil {
		err = r.recognise(ctx, s, &looked, b.have)
	}
	if err != nil {
		r.log.Info("cannot look at a host that is refused", "host", srv.endpoint, "err", err)
	}
	srv.known = looked.known
}
