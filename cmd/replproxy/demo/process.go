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
	name string
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed at its end
	err  error         // then: how it ended
}

// stop sends a signal, waits, and kills what does not listen.
func (p *process) stop(sig syscall.Signal) {
	_ = p.cmd.Process.Signal(sig) // an error means that it has ended
	select {
	case <-p.done:
	case <-time.After(killAfter):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// failure is the error of a process that should not have ended, with the end of its log.
func (p *process) failure() error {
	how := "ended"
	if p.err != nil {
		how = p.err.Error()
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

// command prepares a program of this demo: account, directory, a clean environment, output to a log.
func (d *demo) command(ctx context.Context, name, program string, args ...string) (*exec.Cmd, *os.File, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = d.dir
	cmd.SysProcAttr = d.who.attributes()
	cmd.Env = []string{
		"PATH=" + d.bin + ":/usr/bin:/bin", "HOME=" + d.dir, "LC_ALL=C", "TZ=UTC", "PGPASSFILE=" + d.path("pgpass"),
		"PGCONNECT_TIMEOUT=10",
	}
	log, err := os.OpenFile(d.path(name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, nil, err
	}
	cmd.Stdout, cmd.Stderr = log, log
	return cmd, log, nil
}

// run runs a program to its end. ctx kills it.
func (d *demo) run(ctx context.Context, name, program string, args ...string) error {
	cmd, log, err := d.command(ctx, name, program, args...)
	if err != nil {
		return err
	}
	defer log.Close()
	if err := d.starter.start(cmd); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("%s: %w\n%s", name, err, tail(d.path(name+".log")))
	}
	return nil
}

// spawn starts a program that runs until sig, which the end of the demo sends.
func (d *demo) spawn(name string, sig syscall.Signal, program string, args ...string) (*process, error) {
	cmd, log, err := d.command(context.Background(), name, program, args...)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	if err := d.starter.start(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{name: name, cmd: cmd, log: log.Name(), done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	d.atEnd(func() error { p.stop(sig); return nil })
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
		case <-p.done:
			return p.failure()
		case <-ctx.Done():
			return fmt.Errorf("%s did not get there within %s: %w\n%s", p.name, limit, err, tail(p.log))
		}
	}
}
