package preflight

import (
	"fmt"
	"time"

	"github.com/replproxy/replproxy/cmd/replproxy/show"
	"github.com/replproxy/replproxy/proxy/config"
)

const (
	// slowSync is the median of fsync from which on it is told: commits of a disk for servers wait for a tenth of it.
	slowSync = 10 * time.Millisecond
	// maxSkew bounds the difference of two clocks. Certificates, lines of logs and lags are compared across machines.
	maxSkew = 2 * time.Second
	// shortTimeout is a wal_sender_timeout below which a pause of a virtual machine ends the stream.
	shortTimeout = 5 * time.Second
	// shortBreak is a max_slot_wal_keep_size that a busy primary writes within minutes.
	shortBreak = 1 << 30
)

// surroundings judges the disk's speed, the clocks, and how long the primary waits for a proxy that is away.
func surroundings(s Setup, f Facts) (all []Check) {
	all = append(all, syncTime(f)...)
	all = append(all, clockOf("clock", f.Endpoint, f.Clock)...)
	all = append(all, senderTimeout(f)...)
	return append(all, slotKeep(s, f)...)
}

func syncTime(f Facts) []Check {
	t := f.Disk.Sync
	if t == (SyncTime{}) {
		return nil
	}
	c := Check{Name: "fsync of data_dir", Level: OK, Text: fmt.Sprintf("%s, the longest of %d took %s",
		t.Median.Round(time.Microsecond), syncTries, t.Longest.Round(time.Microsecond))}
	if t.Median > slowSync {
		c.Level = Warn
		c.Remedy = "Commits that wait for this proxy wait for it (with a rule wal.report: written spares them that). " +
			"Use a disk that is made for it, and no network volume."
	}
	return []Check{c}
}

// clockOf judges a server's clock.
func clockOf(name, whose string, k Clock) []Check {
	if !k.Known {
		return nil
	}
	off, word := k.Ahead, "ahead of"
	if off < 0 {
		off, word = -off, "behind"
	}
	c := Check{Name: name, Level: OK, Text: fmt.Sprintf("that of %s is %s %s this machine's (give or take %s)", whose,
		off.Round(time.Millisecond), word, k.Slack.Round(time.Millisecond))}
	if off-k.Slack > maxSkew {
		c.Level = Warn
		c.Remedy = "Let both follow NTP (chronyc tracking): certificates, logs and lags are compared across machines."
	}
	return []Check{c}
}

func senderTimeout(f Facts) []Check {
	text, known := f.Settings["wal_sender_timeout"]
	d, err := config.ParseDuration(text, time.Millisecond)
	c := Check{Name: "wal_sender_timeout", Level: OK, Text: text}
	switch {
	case !known || err != nil:
		return nil
	case d == 0:
		c.Level, c.Text = Warn, "0: the primary never notices that this proxy's machine is gone"
		c.Remedy = "ALTER SYSTEM SET wal_sender_timeout = '60s', then SELECT pg_reload_conf(): the slot of a " +
			"stream that is dead stays in use until then."
	case d < shortTimeout:
		c.Level = Warn
		c.Remedy = fmt.Sprintf("A pause of that length ends the stream: say %s or more.", shortTimeout)
	}
	return []Check{c}
}

func slotKeep(s Setup, f Facts) []Check {
	text, known := f.Settings["max_slot_wal_keep_size"]
	if !known || s.Slot == "" {
		return nil
	}
	c := Check{Name: "max_slot_wal_keep_size", Level: OK, Text: text}
	if text == "-1" {
		c.Text = "-1: while this proxy is away the primary keeps all WAL for it, until its disk is full: alert on it"
		return []Check{c}
	}
	if size, err := config.ParseSize(text); err == nil && size < shortBreak {
		c.Level = Warn
		c.Remedy = fmt.Sprintf("When this proxy is away for longer than it takes to write that, WAL is missing: "+
			"say %s or more, or name an archive in wal.restore_command.", show.Bytes(shortBreak))
	}
	return []Check{c}
}
