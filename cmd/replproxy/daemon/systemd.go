package daemon

import (
	"context"
	"net"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// notify tells systemd that the proxy serves, and when it begins to stop. Meanwhile it notifies the watchdog, if there
// is one. Without systemd it does nothing. It is the last stage, so its end is the first of an orderly stop.
func (v *view) notify(ctx context.Context) error {
	v.tell(daemon.SdNotifyReady)
	// An interval that cannot be read is none: systemd then ends a process that does not notify it.
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		v.advisor.log.Warn("cannot read the watchdog's interval", "err", err)
	}
	v.ping(ctx, every/2)
	v.stopping.Store(true)
	v.tell(daemon.SdNotifyStopping)
	return nil
}

// ping looks at every part of the proxy, as /status does, and says that it could. A part that holds its
// lock for ever is so found by the watchdog, which ends the process with all its stacks in the log. every of 0
// only waits for ctx.
func (v *view) ping(ctx context.Context, every time.Duration) {
	if every <= 0 {
		<-ctx.Done()
		return
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		_ = v.Status()
		v.tell(daemon.SdNotifyWatchdog)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (v *view) tell(state string) {
	if err := sdNotify(state); err != nil {
		v.advisor.log.Warn("cannot notify systemd", "state", state, "err", err)
	}
}

// notifyTimeout bounds the wait for a message to systemd: its socket takes a few messages at once, and then blocks
// until they are read.
const notifyTimeout = time.Second

// sdNotify tells systemd of a state within notifyTimeout. [daemon.SdNotify] has no bound, so a systemd that stands
// still would hold up a reload or a stop. Without a socket it does nothing.
func sdNotify(state string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer conn.Close()
	if err = conn.SetWriteDeadline(time.Now().Add(notifyTimeout)); err == nil {
		_, err = conn.Write([]byte(state))
	}
	return err
}

// noCore limits core files to one byte. By that value Linux writes no core file and starts no handler of core_pattern.
// With any other limit, 0 too, a handler gets a whole core; 1 keeps handlers from dumping themselves (core(5)).
const noCore = 1

// withoutCores forbids core dumps of this process and its children: passwords, keys and WAL are in its memory.
func withoutCores() error {
	var now unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &now); err != nil {
		return err
	}
	limit := min(noCore, now.Max) // which nobody but root may raise
	return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: limit, Max: limit})
}
