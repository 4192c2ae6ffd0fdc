package ask

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/replproxy/replproxy/cluster/tail"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// FencedOn returns the proxies of a cluster that are fenced on timeline t, as the one whose control socket is given
// knows them. One that does not run, or does not answer, tells of none.
func FencedOn(ctx context.Context, socket string, t lsn.TimelineID) (names []string) {
	path, err := TailPath("", "", nil)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	body, err := Control(ctx, socket, http.MethodGet, path)
	var known tail.Tail
	if err != nil || json.Unmarshal(body, &known) != nil {
		return nil
	}
	for _, r := range known.Proxies {
		if r.Fenced >= t {
			names = append(names, r.Node)
		}
	}
	return names
}
