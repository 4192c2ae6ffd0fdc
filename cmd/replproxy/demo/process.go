package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/replproxy/replproxy/internal/child"
)

// killAfter bounds the wait for a process to end after it was asked. Then it is killed.
const killAfter = 10 * time.Second

// logTail bounds how much of a failed process's log is shown, in bytes.
const logTail = 2000

// starter starts children from one thread that lives as long as it does: Linux sends a child its
// parent-death signal when the thread that forked it ends.
type starter struct {
	jobs chan func()
}

func newStarter() *starter {
	s := &starter{jobs: make(chan func())}
	go func() {
		runtime.LockOSThread()
		for job := range s.jobs {
			job()
		}
	}()
	return s
}

func (s *starter) start(cmd *exec.Cmd) error {
	done := make(chan error)
	s.jobs <- func() { done <- cmd.Start() }
	return <-done
}

func (s *starter) close() { close(s.jobs) }

// process is a child that has been started.
type process struct {
	*child.Process
	name string
	log  string
}

// failure returns the error of a process that should not have ended, with the end of its log.
func (p *process) failure() error {
	how := "ended"
	if err := p.Err(); err != nil {
		how = err.Error()
	}
	return fmt.Errorf("%s: %s\n%s", p.name, how, tail(p.log))
}

func tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	text := string(b[max(0, len(b)-logTail):])
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ")
}

// command prepares a program of this demo: account, directory, a clean environment.
func (d *demo) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = d.dir
	cmd.SysProcAttr = d.who.Attributes(syscall.SIGKILL)
	cmd.Env = []string{
		"PATH=" + d.bin + ":/usr/bin:/bin", "HOME=" + d.dir, "LC_ALL=C", "TZ=UTC", "PGPASSFILE=" + d.path("pgpass"),
		"PGCONNECT_TIMEOUT=10",
	}
	return cmd
}

// start starts a program whose output goes to a log.
func (d *demo) start(name string, cmd *exec.Cmd) (*process, error) {
	log := d.path(name + ".log")
	p, err := child.Start(cmd, log, nil, d.starter.start)
	if err != nil {
		return nil, err
	}
	return &process{p, name, log}, nil
}

// run runs a program to its end. ctx kills it.
func (d *demo) run(ctx context.Context, name, program string, args ...string) error {
	p, err := d.start(name, d.command(ctx, program, args...))
	if err != nil {
		return err
	}
	<-p.Done()
	if err := p.Err(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("%s: %w\n%s", name, err, tail(p.log))
	}
	return nil
}

// spawn starts a program that runs until sig, which the end of the demo sends.
func (d *demo) spawn(name string, sig syscall.Signal, program string, args ...string) (*process, error) {
	p, err := d.start(name, d.command(context.Background(), program, args...))
	if err != nil {
		return nil, err
	}
	d.atEnd(func() error { p.Stop(sig, killAfter); return nil })
	return p, nil
}

// pollInterval spaces the tries of a condition.
const pollInterval = 100 * time.Millisecond

// errNotYet is a condition that has not come.
var errNotYet = errors.New("not yet")

// await waits for a condition while p runs. The condition's last error is part of a time-out's.
func await(ctx context.Context, limit time.Duration, p *process, condition func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := condition(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.Done():
			return p.failure()
		case <-ctx.Done():
			return fmt.Errorf("%s did not get there within %s: %w\n%s", p.name, limit, err, tail(p.log))
		}
	}
}
