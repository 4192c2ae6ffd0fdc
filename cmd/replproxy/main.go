package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/replproxy/replproxy/cmd/replproxy/daemon"
)

// The exit codes of the contract.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) }

// usageError is a command line or a configuration that cannot be used: exit 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// silentError ends with its code and without a message: everything has been said.
type silentError struct{ code int }

func (e silentError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// run runs the whole program and returns its exit code. It returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := rootCommand(stdout, stderr)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var silent silentError
	if err != nil && !errors.As(err, &silent) && !errors.As(err, new(daemon.SaidError)) {
		fmt.Fprintf(stderr, "replproxy: %v\n", err)
	}
	return exitCode(err)
}

// exitCode returns the code with which the program ends after err.
func exitCode(err error) int {
	var silent silentError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &silent):
		return silent.code
	case errors.As(err, new(stopError)):
		return exitStop
	case errors.As(err, new(usageError)), errors.As(err, new(daemon.UnusableError)):
		return exitUsage
	}
	return exitFailure
}
