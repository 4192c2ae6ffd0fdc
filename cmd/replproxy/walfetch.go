package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/replproxy/replproxy/cmd/replproxy/walfetch"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/proxy"
)

// Exit codes of a restore_command. With 1 to 125 the file is not there: recovery goes on without it, or ends. More than
// 125 stops the server, which loses nothing (PostgreSQL's wait_result_is_any_signal).
const (
	exitAbsent = 1
	exitStop   = 255
)

// stopError ends with exitStop and its message.
type stopError struct{ error }

func (e stopError) Unwrap() error { return e.error }

// walFetchDefault is a proxy on this machine; PGHOST and its relatives win.
const walFetchDefault = "host=127.0.0.1 port=6543"

func walFetchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:        "wal-fetch %f %p",
		SuggestFor: []string{"fetch", "restore", "get"},
		Short:      "restore_command out of a proxy's store",
		Long: "Brings the WAL segment or history file %f out of a running proxy and puts it to %p, as in\n" +
			"    restore_command = 'replproxy wal-fetch --from \"host=proxy1 port=6543 user=repl\" %f %p'\n" +
			"The role needs LOGIN and REPLICATION, as a standby's does.\n\n" +
			"Exit codes: 0 it is there; 1 the proxy has not got it, nor anybody whom it asks;\n" +
			"255, which stops recovery, for everything else:\n" +
			"without an answer nobody knows whether recovery is at its end. Where standby.signal is in the current\n" +
			"directory, as in a standby's, that is 1 as well: the standby tries again by itself.",
		Args: cobra.ArbitraryArgs,
	}
	from := cmd.Flags().String("from", "", "conninfo of the proxy (default "+walFetchDefault+", or PGHOST and PGPORT)")
	file := cmd.Flags().StringP("config", "c", "",
		"configuration file of a proxy on this machine, instead of --from: its first address of listen")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return stopError{err} })
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) != 2 {
			return stopError{fmt.Errorf("wal-fetch wants %%f and %%p, not %d arguments", len(args))}
		}
		if err := listenOf(cmd, from, *file); err != nil {
			return stopError{err}
		}
		to, err := upstream.Parse(fetchFrom(*from))
		if err != nil {
			return stopError{fmt.Errorf("--from: %w", err)}
		}
		return fetched(walfetch.Fetch(cmd.Context(), to, args[0], args[1]), args[0])
	}
	return cmd
}

// listenOf sets from to the address on which the proxy of a configuration file listens. Without a file nothing changes.
func listenOf(cmd *cobra.Command, from *string, file string) error {
	if file == "" {
		return nil
	}
	if *from != "" {
		return errors.New("-c and --from both say which proxy is meant: leave one out")
	}
	c, err := loadConfig(cmd, file)
	if err != nil {
		return withHint(err, "--from CONNINFO instead of -c goes round the file")
	}
	*from = conninfoOf(c.Listen)
	return nil
}

// conninfoOf returns how a client on this machine reaches a proxy that listens so: by the first TCP address, otherwise
// by the first socket.
func conninfoOf(listen []string) string {
	for _, a := range listen {
		host, port, err := net.SplitHostPort(a)
		if strings.HasPrefix(a, "unix:") || err != nil {
			continue
		}
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			host = "localhost"
		}
		return fmt.Sprintf("host=%s port=%s", host, port)
	}
	dir, port := strings.TrimPrefix(listen[0], "unix:"), strconv.Itoa(proxy.DefaultPort)
	if file, ok := strings.CutPrefix(filepath.Base(dir), ".s.PGSQL."); ok {
		dir, port = filepath.Dir(dir), file
	}
	return fmt.Sprintf("host='%s' port=%s", dir, port)
}

// fetchFrom returns conninfo, or the default of wal-fetch where neither it nor PGHOST or PGPORT says anything.
func fetchFrom(conninfo string) string {
	if conninfo == "" && os.Getenv("PGHOST") == "" && os.Getenv("PGPORT") == "" {
		return walFetchDefault
	}
	return conninfo
}

// fetched returns the outcome as restore_command wants it.
func fetched(err error, name string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, walfetch.ErrAbsent):
		return silentError{exitAbsent} // asked for at each turn of recovery: no news
	}
	from := ""
	if unreached := (*upstream.ConnectError)(nil); errors.As(err, &unreached) {
		from = "--from: "
	}
	err = fmt.Errorf("fetch %s: %s%s", name, from, pgerror.Describe(err))
	if walfetch.StopsRecovery(".") {
		return stopError{err}
	}
	return err
}
