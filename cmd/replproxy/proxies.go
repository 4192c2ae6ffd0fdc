package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/replproxy/replproxy/cmd/replproxy/ask"
	"github.com/replproxy/replproxy/cmd/replproxy/daemon"
	"github.com/replproxy/replproxy/proxy/config"
)

// controlFlags adds the flags that say which proxy is meant to a command, and gives the way to post to it.
func controlFlags(cmd *cobra.Command) func(path string) ([]byte, error) {
	file := cmd.Flags().StringP("config", "c", "", "configuration file of the proxy")
	dir := cmd.Flags().String("data-dir", "", "data_dir of the proxy (default "+config.DefaultDataDir+")")
	return func(path string) ([]byte, error) {
		at, err := dataDirOf(cmd, *file, *dir)
		if err != nil {
			return nil, err
		}
		body, err := ask.Control(cmd.Context(), filepath.Join(at, daemon.ControlSocket), http.MethodPost, path)
		var refused ask.Refused
		switch {
		case errors.As(err, &refused):
			err = fmt.Errorf("by the proxy in %s: %w", at, err)
		case err != nil:
			err = fmt.Errorf("by a proxy in %s: %w; %s", at, err, ask.Unreached)
		}
		return body, err
	}
}

// tailSource returns a function that fetches path from a proxy once. It goes by HTTP if via has an address, otherwise
// by the control socket in the proxy's data_dir.
func tailSource(cmd *cobra.Command, file, dir string, via *ask.HTTP, path string) (
	func(context.Context) ([]byte, error), error,
) {
	if via.Addr != "" {
		if _, err := via.Base(); err != nil {
			return nil, usageError{err}
		}
		return func(ctx context.Context) ([]byte, error) { return via.Fetch(ctx, path) }, nil
	}
	at, err := dataDirOf(cmd, file, dir)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) ([]byte, error) {
		return ask.Control(ctx, filepath.Join(at, daemon.ControlSocket), http.MethodGet, path)
	}, nil
}

// dataDirOf returns the data_dir of the proxy that a command is for: of its configuration file, or dir without one, or
// the default. An error is about the file.
func dataDirOf(cmd *cobra.Command, file, dir string) (string, error) {
	if file == "" {
		return cmp.Or(dir, config.DefaultDataDir), nil
	}
	c, err := loadConfig(cmd, file)
	if err != nil {
		return "", withHint(err, "--data-dir DIR instead of -c goes round the file")
	}
	return c.DataDir, nil
}

// withHint returns err, of a configuration, with what a command can be told instead of the file. The proxy may run
// well while its file is being edited.
func withHint(err error, hint string) error { return fmt.Errorf("%w\nHINT: %s", err, hint) }

// The environment of commands that ask the http port, for scripts that name no flags.
const (
	tokenFileEnv = "REPLPROXY_HTTP_TOKEN_FILE"
	caFileEnv    = "REPLPROXY_HTTP_CA_FILE"
)

// httpFlags adds the flags of a command that asks the http port.
func httpFlags(cmd *cobra.Command, addr, help string) *ask.HTTP {
	a := &ask.HTTP{}
	f := cmd.Flags()
	f.StringVar(&a.Addr, "http", addr, help+", or https://host:port")
	f.StringVar(&a.TokenFile, "http-token-file", os.Getenv(tokenFileEnv),
		"file with the token of http_token_file (default $"+tokenFileEnv+")")
	f.StringVar(&a.CAFile, "http-ca-file", os.Getenv(caFileEnv),
		"certificates that may sign the one of https (default $"+caFileEnv+", or the system's)")
	return a
}

// fromFile takes the address and the token's file from a proxy's configuration file into a. Without a file nothing
// changes.
func fromFile(cmd *cobra.Command, a *ask.HTTP, file string) error {
	if file == "" {
		return nil
	}
	if cmd.Flags().Changed("http") {
		return usageError{errors.New("-c and --http both say which proxy is meant: leave one out")}
	}
	c, err := loadConfig(cmd, file)
	if err != nil {
		return withHint(err, "--http ADDRESS, the address of its http key, instead of -c goes round the file")
	}
	if c.HTTP == "" {
		return usageError{fmt.Errorf("%s turns http off: its proxy tells no status", file)}
	}
	if a.Addr = c.HTTP; c.HTTPCertFile != "" {
		a.Addr = "https://" + c.HTTP
	}
	if c.HTTPTokenFile != "" { // --http-token-file, where it is given
		a.TokenFile = c.HTTPTokenFile
	}
	return nil
}
