package preflight

import (
	"fmt"

	"github.com/replproxy/replproxy/cmd/replproxy/show"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
)

const storeName = "data_dir and upstream"

// store compares the WAL in data_dir with the upstream, as run does before it streams: none if there is no WAL yet.
func store(s Setup, f Facts) []Check {
	have, what := f.Disk.Store, ""
	seg, err := lsn.ParseSegSize(f.Settings["wal_segment_size"])
	switch {
	case have == walstore.Identity{}:
		return nil
	case f.System == "":
		return []Check{{storeName, Warn, "whether the WAL in data_dir is of the upstream's database system is unknown",
			"See what is wrong with the connection to the primary first."}}
	case f.System != have.System.String():
		what = fmt.Sprintf("database system %s, but the upstream is %s", have.System, f.System)
	case err == nil && seg != have.SegSize:
		what = fmt.Sprintf("segments of %s, but the upstream's have %s", have.SegSize, seg)
	case f.Major != 0 && f.Major != have.ServerMajor:
		what = fmt.Sprintf("PostgreSQL %d, but the upstream is %d", have.ServerMajor, f.Major)
	default:
		return []Check{{Name: storeName, Level: OK, Text: "the WAL in data_dir is of this database system"}}
	}
	return []Check{{storeName, Fail, "the WAL in " + s.DataDir + " is of " + what + ": run streams nothing",
		"Correct upstream.conninfo or data_dir. Where the primary was made anew or upgraded: move data_dir away, " +
			"and make the standbys anew."}}
}

// keepSize warns of a wal.keep_size below one segment of the primary. nil: it is not below, or the size of segments is
// not known.
func keepSize(s Setup, f Facts) []Check {
	seg, err := lsn.ParseSegSize(f.Settings["wal_segment_size"])
	if err != nil || s.KeepSize >= int64(seg) {
		return nil
	}
	return []Check{{"wal.keep_size", Warn, fmt.Sprintf("%s is less than one segment of the primary (%s)",
		show.Bytes(s.KeepSize), seg), "Say at least one segment, better some: standbys that return need them."}}
}

// disk judges data_dir by what a full store needs.
func disk(s Setup, f Facts) Check {
	c := Check{Name: "data_dir"}
	if f.Disk.Err != nil {
		c.Level, c.Text = Fail, f.Disk.Err.Error()
		c.Remedy = "Name an empty directory in data_dir (--data-dir), or one that a replproxy made, " +
			"which the user that runs replproxy may write to."
		return c
	}
	need := s.KeepSize + s.MinFree
	c.Text = fmt.Sprintf("%s, %s free of %s", s.DataDir, show.Bytes(f.Disk.Free), show.Bytes(f.Disk.Total))
	if !f.Disk.Exists {
		c.Text += ", will be made"
	}
	if c.Level = OK; f.Disk.Free < need && !f.Disk.Exists {
		c.Level = Warn
		c.Remedy = fmt.Sprintf("keep_size and min_free together are %s: "+
			"use a larger volume or a smaller keep_size.", show.Bytes(need))
	}
	if f.Disk.Exists && f.Disk.Free < s.MinFree {
		c.Level = Warn
		c.Remedy = fmt.Sprintf("Less than min_free (%s) is free: "+
			"use a larger volume or a smaller keep_size.", show.Bytes(s.MinFree))
	}
	return c
}
