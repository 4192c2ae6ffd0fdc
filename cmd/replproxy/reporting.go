package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/replproxy/replproxy/fanout/realslot"
	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/datadir"
	"github.com/replproxy/replproxy/proxy/admin"
	"github.com/replproxy/replproxy/proxy/config"
)

// acceptName is the file in data_dir that names the timeline which the operator accepts although it lacks
// acknowledged WAL (ruling R3). Whoever may write there may move the store away as well.
const acceptName = "accept-timeline"

func acceptTimelineCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "accept-timeline N",
		Short: "Give up acknowledged WAL that timeline N lacks: the proxy follows it although commits are lost",
		Args:  cobra.ExactArgs(1),
	}
	dir := cmd.Flags().String("data-dir", config.DefaultDataDir, "directory of the proxy's store")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		n, err := strconv.ParseUint(args[0], 10, 32)
		if err != nil || n < 2 {
			return usageError{fmt.Errorf("%q is no timeline that can be accepted: "+
				"the log and /status name the one that waits", args[0])}
		}
		if _, err := os.Stat(filepath.Join(*dir, "replproxy.meta")); err != nil {
			return fmt.Errorf("%s is not the data_dir of a replproxy: %w", *dir, err)
		}
		path := filepath.Join(*dir, acceptName)
		err = vfs.WriteFile(vfs.OS{}, path, []byte(args[0]+"\n"))
		if err == nil {
			err = readable(path)
		}
		if err != nil {
			return fmt.Errorf("accept timeline %s: %w", args[0], err)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "timeline %s will be followed, within half a minute by a proxy that runs\n",
			args[0])
		return nil
	}
	return cmd
}

// readable lets everybody read a file, since the proxy may be another user than root, who is asking here. A symbolic
// link that the proxy's user has put there meanwhile is not followed.
func readable(path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|datadir.NoFollow, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o644), f.Close())
}

// acceptedTimeline asks for what acceptTimelineCommand wrote.
func acceptedTimeline(dir string, log *slog.Logger) func(lsn.TimelineID) bool {
	path := filepath.Join(dir, acceptName)
	return func(t lsn.TimelineID) bool {
		text, err := os.ReadFile(path)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				log.Error("cannot read which timeline is accepted", "err", err)
			}
			return false
		}
		return strings.TrimSpace(string(text)) == t.String()
	}
}

// What the primary's slot follows; see [admin.Upstream].
const (
	followsFlushed  = "flushed"
	followsReported = "reported"
)

// slotOnPrimary says how much WAL the primary keeps for us (ruling R8): as it says itself when the slot is
// held by SQL, else by what a rule lets be reported.
func slotOnPrimary(u *admin.Upstream, r walreceiver.Status, own realslot.OwnStatus) {
	switch {
	case r.Slot == "":
	case r.SlotApart && own.Known:
		u.SlotFollows = followsFlushed
		u.SlotRestart, u.SlotHeld, u.SlotStatus, u.SlotSafe = own.Restart, own.HeldBytes, own.State, own.Safe
		sinceLook(u, r.UpstreamEnd)
	case r.Ruled && !r.SlotApart:
		u.SlotFollows, u.SlotRestart = followsReported, max(r.SlotLSN, r.Reported.Flush)
		if u.SlotRestart == lsn.Invalid || r.UpstreamEnd <= u.SlotRestart {
			return
		}
		u.SlotHeld = int64(r.UpstreamEnd - u.SlotRestart)
		if limit, err := config.ParseSize(r.Settings["max_slot_wal_keep_size"]); err == nil && limit >= 0 {
			safe := int64(limit) - u.SlotHeld
			u.SlotSafe = &safe
		}
	}
}

// sinceLook adds what the primary has written since it was asked: while it stops or starts it answers nothing by
// SQL, and the stream tells (ruling R38).
func sinceLook(u *admin.Upstream, end lsn.LSN) {
	if u.SlotRestart == lsn.Invalid || end <= u.SlotRestart {
		return
	}
	more := int64(end-u.SlotRestart) - u.SlotHeld
	if more <= 0 {
		return
	}
	u.SlotHeld += more
	if u.SlotSafe != nil {
		safe := *u.SlotSafe - more
		u.SlotSafe = &safe
	}
}

// ruleWarnings are about what a rule costs the primary, and about WAL that was acknowledged under it.
func ruleWarnings(u *admin.Upstream, ruled bool) (all []string) {
	if l := u.Lack; l != nil {
		all = append(all, fmt.Sprintf("timeline %s lacks acknowledged WAL from %s to %s and is not followed: "+
			"promote a server that has it, or give it up by replproxy accept-timeline %s",
			l.Timeline, l.From, l.To, l.Timeline))
	}
	if ruled && u.SlotFollows == followsReported {
		all = append(all, fmt.Sprintf("slot %s follows the rule, because it cannot be advanced by SQL: "+
			"while the rule is not satisfied the primary keeps all WAL, %d bytes now; let the role log in for SQL",
			u.Slot, u.SlotHeld))
	}
	if u.SlotSafe != nil && *u.SlotSafe < u.SlotHeld {
		all = append(all, fmt.Sprintf("slot %s holds %d bytes of WAL on the primary and will be lost after %d more "+
			"(max_slot_wal_keep_size)", u.Slot, u.SlotHeld, max(*u.SlotSafe, 0)))
	}
	return all
}
