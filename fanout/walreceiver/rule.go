package walreceiver

import (
	"math"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// noLimit is the largest LSN: as a limit it limits nothing.
const noLimit = lsn.LSN(math.MaxUint64)

// covered returns the positions that the rule and the store let be reported. Apply stays within what is flushed here,
// so that every position that a commit can have waited for, remote_write's apart, survives in this store. With written,
// what the rule covers need not be flushed here, see safe.
func (c *core) covered(v view) lsn.Progress {
	limits := v.limits
	switch {
	case c.recovery:
		limits.Write, limits.Flush = noLimit, noLimit
	case v.held:
		limits = lsn.Progress{}
	}
	safe := v.flushed
	if v.ruled {
		safe = c.safe(v)
	}
	return lsn.Progress{
		Write: min(v.written, v.received, limits.Write),
		Flush: min(safe, v.received, limits.Flush),
		Apply: min(safe, v.received, limits.Apply),
	}
}

// safe returns the end of the WAL that a commit under a rule may rest on, as far as this store is concerned.
func (c *core) safe(v view) lsn.LSN {
	if c.written {
		return max(v.flushed, v.reportable)
	}
	return v.flushed
}

// promise returns the highest position that is reported under a rule. A shutdown release is no promise: no commit
// can have waited for it. Neither can one on an upstream in recovery. What was promised before is not
// repeated: the operator may have given it up since.
func (c *core) promise(v view, covered lsn.Progress) lsn.LSN {
	if !v.ruled || c.recovery {
		return 0
	}
	return max(covered.Write, covered.Flush, covered.Apply)
}

// withholdsFromShutdown reports whether the upstream may be one that shuts down and waits for what is withheld from it:
// then it matters with which record the WAL ends.
func (v *view) withholdsFromShutdown() bool {
	return (v.held || v.limits.Flush < v.received) && v.pings > 0 && v.pingEnd == v.received && v.flushed >= v.received
}

// shutdownRelease reports whether the upstream shuts down and waits for nothing but this report (ruling R11). Its WAL
// then ends with a shutdown checkpoint, which the store has flushed. A ping that came after it asks for exactly this
// position. The record also ends crash recovery. No session waits then either, as none survived, and WAL that is
// written afterwards lies beyond it.
func (v *view) shutdownRelease() bool {
	return v.pings > 0 && v.received != lsn.Invalid &&
		v.checkpoint == v.received && v.pingEnd == v.received && v.flushed >= v.received
}
