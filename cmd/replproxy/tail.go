package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/replproxy/replproxy/cmd/replproxy/ask"
	"github.com/replproxy/replproxy/cmd/replproxy/show"
	"github.com/replproxy/replproxy/proxy/config"
)

func tailCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Print who has which WAL, and whether a candidate has every acknowledged commit: before a promotion",
		Long: "Prints who has which WAL of the timeline that is left, and whether it is proven that a candidate for\n" +
			"the primary's place has every acknowledged commit. The proxies are fenced first (replproxy fence).\n\n" +
			"Exit codes: 0 the candidate is proven, or none was named; 1 it is not (yet); 2 wrong usage.",
		Args: cobra.NoArgs,

		SuggestFor: []string{"promote", "failover", "switchover"},
	}
	f := cmd.Flags()
	file := f.StringP("config", "c", "", "configuration file of a proxy on this machine")
	dir := f.String("data-dir", "", "data_dir of a proxy on this machine (default "+config.DefaultDataDir+")")
	via := httpFlags(cmd, "", "http address of a proxy, instead of -c or --data-dir")
	timeline := f.String("timeline", "", "the timeline that is left: the old primary's (default the highest there is)")
	candidate := f.String("candidate", "", "application_name of the standby to promote")
	ends := f.StringArray("end", nil, "NAME=LSN: the end of a standby that takes no WAL any more, or of a fenced "+
		"proxy, on that timeline; repeatable")
	wait := new(time.Duration)
	f.Var((*waitFlag)(wait), "wait", "wait so long for the candidate to be proven while it is fed: 60s, 1min")
	asJSON := f.Bool("json", false, "print the document")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		path, err := ask.TailPath(*timeline, *candidate, *ends)
		if err != nil {
			return usageError{err}
		}
		if *wait > 0 && *candidate == "" {
			return usageError{errors.New("--wait needs a --candidate to wait for")}
		}
		source, err := tailSource(cmd, *file, *dir, via, path)
		if err != nil {
			return err
		}
		t, err := ask.Tail(cmd.Context(), cmd.ErrOrStderr(), source, *candidate, *wait)
		if err != nil {
			return err
		}
		if *asJSON {
			err = show.JSON(cmd.OutOrStdout(), t)
		} else {
			show.Tail(cmd.OutOrStdout(), &t, time.Now())
		}
		if err == nil && !t.Proves(*candidate) {
			err = silentError{exitFailure}
		}
		return err
	}
	return cmd
}

// waitFlag is a time in PostgreSQL's units, in seconds without one. Go's are taken too, as v0.1.0 did.
type waitFlag time.Duration

func (w *waitFlag) String() string {
	if *w == 0 {
		return ""
	}
	return time.Duration(*w).String()
}

func (w *waitFlag) Type() string { return "duration" }

func (w *waitFlag) Set(text string) error {
	d, err := config.ParseDuration(text, time.Second)
	if old, isGo := time.ParseDuration(text); err != nil && isGo == nil && old >= 0 {
		d, err = old, nil
	}
	*w = waitFlag(d)
	return err
}
