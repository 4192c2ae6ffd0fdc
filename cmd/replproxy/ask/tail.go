package ask

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/replproxy/replproxy/cluster/tail"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/cmd/replproxy/show"
)

// TailPath returns the path and query by which a proxy is asked who has which WAL. ends are of the form NAME=LSN.
func TailPath(timeline, candidate string, ends []string) (string, error) {
	if _, err := tail.ParseAsk(timeline, candidate, ends); err != nil {
		return "", err
	}
	return "/tail?" + url.Values{"timeline": {timeline}, "candidate": {candidate}, "end": ends}.Encode(), nil
}

// tailInterval spaces the questions of --wait.
const tailInterval = 500 * time.Millisecond

// Tail asks until the candidate is proven or wait is over, and returns the last answer. A candidate that is not proven
// is no error. It writes to progress when the candidate's state changes. candidate is an application_name. The first
// question that fails ends it with an error, and so does the end of ctx.
func Tail(ctx context.Context, progress io.Writer, ask func(context.Context) ([]byte, error), candidate string,
	wait time.Duration,
) (t tail.Tail, err error) {
	candidate = vote.Fold(candidate)
	deadline, said := time.Now().Add(wait), ""
	tick := time.NewTicker(tailInterval)
	defer tick.Stop()
	for {
		var body []byte
		if body, err = ask(ctx); err != nil {
			return t, fmt.Errorf("no proxy answers: %w; %s", err, Unreached)
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
