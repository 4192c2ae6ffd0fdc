package child

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestProcess: a child is told of until it has ended, and what it prints is in its log.
func TestProcess(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	for range 2 {
		p, err := Start(exec.Command("/bin/sh", "-c", "echo said; exit 3"), log, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !p.Wait(time.Minute) || p.Alive() || p.ExitCode() != 3 || p.Err() == nil {
			t.Errorf("alive %t, exit code %d, %v", p.Alive(), p.ExitCode(), p.Err())
		}
		p.Signal(syscall.SIGTERM) // it is gone
	}
	if text, err := os.ReadFile(log); err != nil || string(text) != "said\nsaid\n" {
		t.Errorf("the log has %q, %v", text, err)
	}
	if _, err := Start(exec.Command("/no/such"), log, nil, nil); err == nil || !strings.Contains(err.Error(), "start such") {
		t.Errorf("%v", err)
	}
}

// TestStop: what does not listen is killed.
func TestStop(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "log")
	p, err := Start(exec.Command("/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"), ready, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for text := []byte(nil); len(text) == 0; text, _ = os.ReadFile(ready) {
		<-tick.C
	}
	if p.Wait(time.Millisecond) {
		t.Error("it has ended by itself")
	}
	if p.Stop(syscall.SIGTERM, time.Millisecond); p.Alive() || p.ExitCode() != -1 {
		t.Errorf("alive %t, exit code %d", p.Alive(), p.ExitCode())
	}
}

// TestAccount: the present user's children stay that user's. Under root they are somebody else's.
func TestAccount(t *testing.T) {
	a, err := Unprivileged()
	if err != nil {
		t.Fatal(err)
	}
	if root := os.Geteuid() == 0; root != (a.Name != "") || a.UID == 0 || root == (a.Attributes(syscall.SIGKILL).Credential == nil) {
		t.Errorf("%+v under uid %d", a, os.Geteuid())
	}
	if a.Name == "" {
		if err := a.Own("/no/such"); err != nil {
			t.Errorf("the present user's file changes hands: %v", err)
		}
	}
}
