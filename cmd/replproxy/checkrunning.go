package main

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"path/filepath"
	"time"

	"github.com/replproxy/replproxy/cmd/replproxy/preflight"
	"github.com/replproxy/replproxy/proxy/admin"
)

// runningTimeout bounds the question to the proxy that runs: it answers from memory.
const runningTimeout = 5 * time.Second

// runningCheck asks the proxy that runs in dir whether WAL comes; none where none runs, or an older one, which cannot
// be asked so.
func runningCheck(ctx context.Context, dir string) []preflight.Check {
	ctx, cancel := context.WithTimeout(ctx, runningTimeout)
	defer cancel()
	body, err := tell(ctx, filepath.Join(dir, controlSocket), http.MethodGet, "/status")
	var s admin.Status
	if err != nil || json.Unmarshal(body, &s) != nil {
		return nil
	}
	return judgeRunning(&s)
}

func judgeRunning(s *admin.Status) []preflight.Check {
	u := &s.Upstream
	c := preflight.Check{Name: "running proxy", Level: preflight.OK, Text: s.Name + " streams from " + u.Endpoint}
	refused := u.Lack != nil && u.Member != "" // the primary is, and WAL comes from a member all the same
	if u.State != admin.Streaming || u.Stopped != "" || refused {
		c.Level, c.Text = preflight.Fail, s.Name+" does not follow a primary, it is "+u.State
		if why := cmp.Or(u.Stopped, u.LastError); why != "" {
			c.Text += ": " + why
		}
		c.Remedy = "See replproxy status and docs/runbook.md, The upstream is not followed."
	}
	return []preflight.Check{c}
}
