package child

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Process is a child that has been started. Any goroutine may call its methods.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // valid after done
}

// Start starts a program that appends its output to a log, which it makes, and its errors to stderr, or to the log
// where that is nil. start is nil, or starts the program in its own way, as [exec.Cmd.Start] does.
func Start(cmd *exec.Cmd, logPath string, stderr *os.File, start func(*exec.Cmd) error) (*Process, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if stderr != nil {
		cmd.Stderr = stderr
	}
	if start == nil {
		start = (*exec.Cmd).Start
	}
	if err := start(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(cmd.Path), err)
	}
	p := &Process{cmd: cmd, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// PID returns the number of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done returns a channel that is closed once the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err returns how the process ended, as [exec.Cmd.Wait] does. It is valid once Done is closed.
func (p *Process) Err() error { return p.err }

// ExitCode returns the exit code, -1 for an end by a signal. It is valid once Done is closed.
func (p *Process) ExitCode() int { return p.cmd.ProcessState.ExitCode() }

// Alive reports whether the process has not ended.
func (p *Process) Alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Signal sends a signal. Nothing happens when the process has ended already.
func (p *Process) Signal(sig syscall.Signal) { _ = p.cmd.Process.Signal(sig) }

// Wait reports whether the process ended within the time.
func (p *Process) Wait(atMost time.Duration) bool {
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-p.done:
		return true
	case <-timer.C:
		return false
	}
}

// Stop sends a signal, waits, and kills what does not listen. The process has ended when it returns.
func (p *Process) Stop(sig syscall.Signal, patience time.Duration) {
	p.Signal(sig)
	if !p.Wait(patience) {
		p.Signal(syscall.SIGKILL)
		<-p.done
	}
}
