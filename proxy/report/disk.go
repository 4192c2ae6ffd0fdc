package report

import (
	"fmt"
	"strings"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/admin"
	"github.com/replproxy/replproxy/proxy/config"
)

// diskWarnings describe the consequences of a full volume at the moment.
func diskWarnings(s *admin.Status) []string {
	unwritten := short(int64(s.Store.Received - s.Store.Written))
	switch {
	case s.Store.DiskFull && s.Store.Paused:
		return []string{fmt.Sprintf("the volume of data_dir is full and receiving has stopped (%s wait in memory): "+
			"commits that wait for this proxy hang and the primary keeps its WAL; it goes on by itself when there is "+
			"space", unwritten)}
	case s.Store.DiskFull:
		return []string{fmt.Sprintf("the volume of data_dir is full: %s of WAL are in memory only, nothing of it is "+
			"reported as written; receiving stops when the memory for it is used up", unwritten)}
	case s.Store.VolumeBytes > 0 && s.Store.FreeBytes < s.Limits.MinFree:
		return []string{fmt.Sprintf("the volume of data_dir has %s free, less than wal.min_free (%s): slots and slow "+
			"standbys lose WAL beyond wal.keep_size, older WAL is not fetched",
			short(s.Store.FreeBytes), short(s.Limits.MinFree))}
	}
	return nil
}

// yieldWarnings tell of a store that sends its voters to the members to; none for none.
func yieldWarnings(to []string) []string {
	if len(to) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("the disk of this proxy takes no WAL, and its voters are sent to %s: a standby whose "+
		"primary_conninfo names no other proxy is not attached meanwhile", strings.Join(to, " and "))}
}

// votedWarnings warn early that WAL is kept for votes alone, which nothing but the disk bounds (rulings R4, R40). They
// do once it is as much as wal.keep_size again, or half of the room that is left.
func votedWarnings(s *admin.Status, wal config.WAL) []string {
	space := ledger.Space{
		Known: s.Store.VolumeBytes > 0, Free: s.Store.FreeBytes, MinFree: s.Limits.MinFree,
		Voted: s.Store.VotedBytes, Segment: s.Store.SegSize,
	}
	if !space.Crowded(int64(wal.KeepSize)) {
		return nil
	}
	return []string{fmt.Sprintf("%s of WAL is kept for no other reason than that this store voted for it, and that "+
		"fewer than wal.retain_until_standbys (%d) standbys of the cluster have flushed it: nothing but the disk "+
		"bounds that; attach standbys, or take this proxy out of the rule", short(space.Voted), wal.RetainUntil)}
}

// repairWarnings describe WAL that is owed: how much is missing, how much has come and is held back, and why the rest
// does not come. A nil r owes nothing.
func repairWarnings(r *walstore.Repair, held lsn.LSN, lastError string) []string {
	if r == nil {
		return nil
	}
	text := fmt.Sprintf("WAL from %s to %s was being flushed when this proxy's machine stopped, and is not there: it "+
		"is neither served nor reported until it was received again", r.From, r.To)
	if r.Damage != nil {
		text = fmt.Sprintf("stored WAL from %s to %s was found damaged (%v): it is neither served nor reported until "+
			"it was received again", r.From, r.To, r.Damage)
	}
	if held != lsn.Invalid {
		text += fmt.Sprintf("; it has come up to %s, and is taken when it is known to be the same", held)
	}
	if lastError != "" {
		text += "; the upstream does not send it now: " + lastError
	}
	return []string{text}
}

func short(n int64) string { return config.Size(n).Short() }
