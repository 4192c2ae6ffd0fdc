package daemon

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/proxy/config"
)

// TestRefusedRule: a rule that was not taken is not shown as the one in force, the rest of the reload is,
// and the next reload tries again.
func TestRefusedRule(t *testing.T) {
	c := &config.Config{SynchronousStandbyNames: "s1", Name: "a"}
	s := newSettings(c, "")
	var log strings.Builder
	s.log = slog.New(slog.NewTextHandler(&log, nil))
	refused := errors.New("no space left on device")
	s.apply = func(*config.Config, *upstream.Config, bool) error { return refused }
	s.read = func() (*config.Config, *upstream.Config, error) {
		return &config.Config{SynchronousStandbyNames: "s2", Name: "a", LogLevel: slog.LevelDebug}, nil, nil
	}
	_ = s.reload(false)
	now := s.state.Load()
	if now.config.SynchronousStandbyNames != "s1" || now.config.LogLevel != slog.LevelDebug {
		t.Errorf("in force: %+v", now.config)
	}
	if e := now.status.LastError; e != config.RuleKey+": no space left on device" {
		t.Errorf("last error %q", e)
	}
	if p := now.status.Refused; len(p) != 1 || p[0].Key != config.RuleKey || p[0].Running != "s1" || p[0].New != "s2" ||
		p[0].Why != refused.Error() || len(now.status.Pending) != 0 {
		t.Errorf("refused %+v, pending %+v", p, now.status.Pending)
	}
	if strings.Contains(log.String(), "key="+config.RuleKey) {
		t.Errorf("told as changed:\n%s", &log)
	}
	refused = nil
	_ = s.reload(false)
	now = s.state.Load()
	if now.config.SynchronousStandbyNames != "s2" || now.status.LastError != "" || len(now.status.Refused)+len(now.status.Pending) > 0 {
		t.Errorf("later: %+v, %+v", now.config, now.status)
	}
}

// TestDropRule: a rule is dropped only when the configuration has none, and the operator's word goes with it.
func TestDropRule(t *testing.T) {
	s := newSettings(&config.Config{SynchronousStandbyNames: "s1"}, "")
	s.log = slog.New(slog.DiscardHandler)
	dropped := false
	s.apply = func(_ *config.Config, _ *upstream.Config, drop bool) error { dropped = drop; return nil }
	inFile := "s1"
	s.read = func() (*config.Config, *upstream.Config, error) {
		return &config.Config{SynchronousStandbyNames: inFile}, nil, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	if err := s.dropRule(t.Context()); !errors.Is(err, config.ErrRuleInFile) || dropped {
		t.Errorf("dropped %v, %v", dropped, err)
	}
	inFile = ""
	if err := s.dropRule(t.Context()); err != nil || !dropped || s.now().SynchronousStandbyNames != "" {
		t.Errorf("dropped %v, %v, in force %+v", dropped, err, s.now())
	}
	cancel()
	<-ended
	if err := s.dropRule(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("without Run: %v", err)
	}
}
