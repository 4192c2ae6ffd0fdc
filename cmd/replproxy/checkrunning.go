package main

import (
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
	c := preflight.Check{Name: "running proxy", Level: preflight.OK, Text: s.Name + " streams from " + s.Upstream.Endpoint}
	if s.Upstream.State != admin.Streaming {
		c.Level, c.Text = preflight.Fail, s.Name+" does not stream, it is "+s.Upstream.State
		if s.Upstream.LastError != "" {
			c.Text += ": " + s.Upstream.LastError
		}
		c.Remedy = "See replproxy status and docs/runbook.md, The upstream is not followed."
	}
	return []preflight.Check{c}
}
