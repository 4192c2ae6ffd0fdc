package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/cluster/tail"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/cmd/replproxy/show"
	"github.com/replproxy/replproxy/fanout"
	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/config"
)

// tailInterval is how often --wait asks.
const tailInterval = 500 * time.Millisecond

// details are what an account of this proxy has beyond the node's own knowledge.
func details(store *walstore.Store, standbys func() []fanout.Standby, r *walreceiver.Receiver) cluster.Details {
	complete := store.Positions().Complete
	h := store.History()
	d := cluster.Details{
		Begin: h.Begin(), Timeline: h.Timeline, Standbys: []tail.Standby{}, Promised: r.Promised(), Complete: complete,
		Lost: lostWAL(r.Status()),
	}
	for _, b := range standbys() {
		d.Standbys = append(d.Standbys, tail.Standby{
			Name: vote.Fold(b.ApplicationName), State: b.State.String(), Timeline: b.Timeline,
			Sent: b.Sent, Write: b.Write, Flush: b.Flush, Apply: b.Apply,
			Attached: b.BackendStart, Replied: b.LastReply,
		})
	}
	return d
}

// lostWAL says what the primary that is refused has lost, by this proxy's own WAL; nil: nothing. What others have said
// is left to them.
func lostWAL(s walreceiver.Status) *tail.Lost {
	if l := s.Lack; l != nil && l.Lost && l.By == "" && s.State != walreceiver.Streaming {
		return &tail.Lost{System: s.System, Timeline: l.Of, From: l.From, To: l.To}
	}
	return nil
}

// tailHandler answers GET /tail: the query is an ask.
func tailHandler(node *cluster.Node) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ask, err := askOf(r.FormValue("timeline"), r.FormValue("candidate"), r.Form["end"])
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = printJSON(w, node.Tail(ask))
	})
}

// askOf reads what the flags of tail say.
func askOf(timeline, candidate string, ends []string) (ask tail.Ask, err error) {
	if timeline != "" {
		if ask.Timeline, err = timelineOf(timeline); err != nil {
			return ask, err
		}
	}
	ask.Candidate, ask.Ends = vote.Fold(candidate), map[string]lsn.LSN{}
	for _, text := range ends {
		i := strings.LastIndexByte(text, '=')
		at, err := lsn.Parse(text[i+1:])
		if i < 1 || err != nil {
			return ask, fmt.Errorf("--end: %q is not NAME=LSN", text)
		}
		ask.Ends[vote.Fold(text[:i])] = at
	}
	return ask, nil
}

func tailCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Print who has which WAL, and whether a candidate has every acknowledged commit: before a promotion",
		Long: "Prints who has which WAL of the timeline that is left, and whether it is proven that a candidate for\n" +
			"the primary's place has every acknowledged commit. The proxies are fenced first (replproxy fence).\n\n" +
			"Exit codes: 0 the candidate is proven, or none was named; 1 it is not (yet); 2 wrong usage.",
		Args: cobra.NoArgs,
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
		if _, err := askOf(*timeline, *candidate, *ends); err != nil {
			return usageError{err}
		}
		if *wait > 0 && *candidate == "" {
			return usageError{errors.New("--wait needs a --candidate to wait for")}
		}
		query := url.Values{"timeline": {*timeline}, "candidate": {*candidate}, "end": *ends}
		ask, err := tailSource(cmd, *file, *dir, via, "/tail?"+query.Encode())
		if err != nil {
			return err
		}
		t, err := watchTail(cmd.Context(), cmd.ErrOrStderr(), ask, vote.Fold(*candidate), *wait)
		if err != nil {
			return err
		}
		if *asJSON {
			err = printJSON(cmd.OutOrStdout(), t)
		} else {
			show.Tail(cmd.OutOrStdout(), &t, time.Now())
		}
		if v, asked := t.Of(vote.Fold(*candidate)); err == nil && asked && v.State != tail.Proven {
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

// tailSource is how a proxy is asked: by its control socket, or by HTTP.
func tailSource(cmd *cobra.Command, file, dir string, via *httpAccess, path string) (
	func(context.Context) ([]byte, error), error,
) {
	if via.addr != "" {
		if _, err := via.base(); err != nil {
			return nil, usageError{err}
		}
		return func(ctx context.Context) ([]byte, error) { return via.fetch(ctx, path) }, nil
	}
	at, err := dataDirOf(cmd, file, dir)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) ([]byte, error) {
		return tell(ctx, filepath.Join(at, controlSocket), http.MethodGet, path)
	}, nil
}

// dataDirOf is the data_dir of the proxy that a command is for.
func dataDirOf(cmd *cobra.Command, file, dir string) (string, error) {
	if file == "" {
		return cmp.Or(dir, config.DefaultDataDir), nil
	}
	c, err := loadConfig(cmd, file)
	if err != nil {
		return "", err
	}
	return c.DataDir, nil
}

// watchTail asks until the candidate is proven or wait is over, and says what has changed meanwhile.
func watchTail(ctx context.Context, progress io.Writer, ask func(context.Context) ([]byte, error), candidate string,
	wait time.Duration,
) (t tail.Tail, err error) {
	deadline, said := time.Now().Add(wait), ""
	tick := time.NewTicker(tailInterval)
	defer tick.Stop()
	for {
		var body []byte
		if body, err = ask(ctx); err != nil {
			return t, fmt.Errorf("no proxy answers: %w; %s", err, unreached)
		}
		t = tail.Tail{}
		if err = json.Unmarshal(body, &t); err != nil {
			return t, fmt.Errorf("read the answer of the proxy: %w", err)
		}
		v, _ := t.Of(candidate)
		if v.State == tail.Proven || time.Now().After(deadline) {
			return t, nil
		}
		if line := show.Clean(v.String()); line != said {
			fmt.Fprintln(progress, line)
			said = line
		}
		select {
		case <-ctx.Done():
			return t, context.Cause(ctx)
		case <-tick.C:
		}
	}
}
