package cluster

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/cluster/tail"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/knownwal"
)

// says has a member say what it reported on a timeline.
func says(t *testing.T, n *Node, member string, on lsn.TimelineID, at lsn.LSN) {
	t.Helper()
	hears(t, n, member, tail.MemberStatus{Node: member, System: 7, Timeline: on, Flushed: 99, Promised: at})
}

// TestLateMembers: what a member says counts against the timelines that the store left before that member had said
// anything. That is remembered over a restart, until the store leaves one with the member heard.
func TestLateMembers(t *testing.T) {
	dir := t.TempDir()
	var n *Node
	say := func(member string, on lsn.TimelineID, at lsn.LSN) {
		t.Helper()
		says(t, n, member, on, at)
	}
	leave := func(on lsn.TimelineID) {
		t.Helper()
		if err := n.LeaveTimeline(on); err != nil {
			t.Fatal(err)
		}
	}
	late := func(want ...string) {
		t.Helper()
		var got []string
		all, _ := n.Known()
		for _, k := range all {
			if k.Late {
				got = append(got, k.By+" "+k.Point.String())
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("late: %q, want %q", got, want)
		}
	}
	n = openMember(t, dir, "ANY 1 (s1)", "b", "c")
	say("c", 1, 40)
	leave(1)
	say("b", 1, 50)
	late("b 0/32 on timeline 1")
	say("c", 1, 60)
	late("b 0/32 on timeline 1") // c was heard

	n = openMember(t, dir, "ANY 1 (s1)", "b", "c")
	leave(2) // neither was, since the start
	say("b", 1, 50)
	say("c", 1, 60) // of 1 c was judged
	late("b 0/32 on timeline 1")
	say("c", 2, 70)
	late("b 0/32 on timeline 1", "c 0/46 on timeline 2")
	leave(3)
	late()

	n = openMember(t, dir, "ANY 1 (s1)", "b", "c")
	say("b", 1, 50)
	late()
	if err := n.Forget("c"); err != nil {
		t.Fatal(err)
	}
	leave(3)
	say("c", 3, 70)
	late("c 0/46 on timeline 3") // it is not waited for, and told of

	if err := os.WriteFile(filepath.Join(dir, lateFile), []byte("b 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	n = openMember(t, dir, "ANY 1 (s1)", "b", "c") // it is damaged
	say("b", 1, 50)
	late()
}

// TestLateMemberIsForgotten: an operator says of a late member that it is gone for good. Nobody is asked any more to look
// for what it may have acknowledged, until it is heard again. It is held against servers as before.
func TestLateMemberIsForgotten(t *testing.T) {
	n := openMember(t, t.TempDir(), "ANY 1 (s1)", "b", "c")
	late := func(what string, want bool) {
		t.Helper()
		all, _ := n.Known()
		all = slices.DeleteFunc(all, func(k knownwal.Known) bool { return k.By != "b" })
		if len(all) != 1 || all[0].LSN != 50 || all[0].Late != want {
			t.Errorf("%s: %+v", what, all)
		}
	}
	if err := n.LeaveTimeline(1); err != nil {
		t.Fatal(err)
	}
	says(t, n, "b", 1, 50)
	late("it is heard", true)
	if err := n.Forget("b"); err != nil {
		t.Fatal(err)
	}
	late("it is forgotten", false)
	says(t, n, "b", 1, 50)
	late("it is back", true)
}

// TestLateFileIsNoReasonNotToStart: the list serves a warning only. One that can't be read, or is of a later release, is
// said to be ignored, and stays as it is until a timeline is left. Files with promises in them refuse the start.
func TestLateFileIsNoReasonNotToStart(t *testing.T) {
	later := func(format string) string { return string(seal([]byte(format + "/2\nb 1 and more\n"))) }
	for _, c := range []struct {
		file, content string // "" is a directory in the file's place
		starts        bool
	}{
		{lateFile, later("#replproxy-late"), true},
		{lateFile, "", true},
		{lossesFile, later("#replproxy-given-up"), false},
		{livesFile, later("#replproxy-members"), false},
		{forgottenFile, later("#replproxy-forgotten"), false},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, c.file)
		err := os.WriteFile(path, []byte(c.content), 0o600)
		if c.content == "" {
			err = errors.Join(os.Remove(path), os.Mkdir(path, 0o700))
		}
		if err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		_, err = New(Options{
			Name: "a", Store: newFakeStore(100), Members: []string{"b"}, Outbox: link.NewOutbox(), Dir: dir,
			Timeout: time.Minute, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		said := strings.Contains(log.String(), `level=WARN msg="which members were not heard`)
		if (err == nil) != c.starts || said != c.starts {
			t.Errorf("%s, %q: %v, %s", c.file, c.content, err, log.String())
		}
		if content, _ := os.ReadFile(path); string(content) != c.content {
			t.Errorf("%s has become %q", c.file, content)
		}
	}
}

// TestLateMembersAreKept: a store leaves no timeline before it is on the disk who was not heard.
func TestLateMembersAreKept(t *testing.T) {
	n := openMember(t, t.TempDir(), "ANY 1 (s1)", "b")
	if err := os.Mkdir(filepath.Join(n.o.Dir, lateFile), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := n.LeaveTimeline(1); err == nil || len(n.late) != 0 {
		t.Errorf("%v: %v", err, n.late)
	}
}
