package walreceiver

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Settings lists the settings that are asked by SHOW on every new connection. The proxy answers walsenders from this
// cache once their own upstream connection is closed (ruling R31). A server that does not know one of them, or keeps it
// to itself, leaves it out; only the first is indispensable.
func Settings() []string {
	return []string{
		"wal_segment_size", "server_version_num", "server_version", "data_directory_mode",
		"wal_sender_timeout", "max_wal_senders", "max_replication_slots", "max_slot_wal_keep_size",
		"wal_keep_size", "wal_level", "in_hot_standby", "hot_standby", "block_size", "wal_block_size",
		"server_encoding", "cluster_name", "synchronous_standby_names", "data_checksums",
		"integer_datetimes", "default_transaction_read_only", "TimeZone", "DateStyle",
		"client_encoding", "standard_conforming_strings", "port", "ssl", "primary_slot_name",
	}
}

// Changed takes over settings of the upstream that were changed while it is streamed from, as SHOW has them.
func (r *Receiver) Changed(settings map[string]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := maps.Clone(r.status.Settings)
	if all == nil {
		return // nothing is known of it yet
	}
	maps.Copy(all, settings)
	r.status.Settings = all
	if r.live != nil {
		r.live.timeout(senderTimeout(all))
	}
}

// SenderTimeout returns the upstream's wal_sender_timeout, 0 for none; false: it did not tell.
func (s Status) SenderTimeout() (time.Duration, bool) {
	text, ok := s.Settings["wal_sender_timeout"]
	d, err := parseTime(text)
	return d, ok && err == nil
}

// senderTimeout returns the upstream's wal_sender_timeout; 0 when it has none.
func senderTimeout(settings map[string]string) time.Duration {
	text, ok := settings["wal_sender_timeout"]
	if d, err := parseTime(text); ok && err == nil {
		return d
	}
	return assumedSenderTimeout
}

// parseTime reads a time as SHOW prints it: a number with ms, s, min, h or d, or a bare 0.
func parseTime(text string) (time.Duration, error) {
	i := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	if i < 0 {
		i = len(text)
	}
	n, err := strconv.ParseInt(text[:i], 10, 32)
	if err != nil {
		return 0, fmt.Errorf("invalid time %q", text)
	}
	units := []string{"ms", "s", "min", "h", "d"}
	at := slices.Index(units, text[i:])
	if at < 0 && (n != 0 || text[i:] != "") {
		return 0, fmt.Errorf("invalid time %q", text)
	}
	if at < 0 {
		return 0, nil
	}
	unit := []time.Duration{time.Millisecond, time.Second, time.Minute, time.Hour, 24 * time.Hour}[at]
	return time.Duration(n) * unit, nil
}

// SetParameters takes over a copy of the upstream's ParameterStatus messages, by name. Any goroutine may call it.
func (r *Receiver) SetParameters(reported map[string]string) {
	p := maps.Clone(reported)
	r.Update(func(s *Status) { s.Parameters = p })
}
