package daemon

import "errors"

// UnusableError is about a configuration, an account or a data directory with which the proxy is not to be started:
// exit code 2.
type UnusableError struct{ Err error }

func (e UnusableError) Error() string { return e.Err.Error() }

// Unwrap returns the error that says why the proxy is not to be started.
func (e UnusableError) Unwrap() error { return e.Err }

// SaidError is an error that stands in the log already.
type SaidError struct{ Err error }

func (e SaidError) Error() string { return e.Err.Error() }

// Unwrap returns the error that was logged.
func (e SaidError) Unwrap() error { return e.Err }

// errHurried ends a daemon that was told twice to end.
var errHurried = errors.New("told twice to end")
