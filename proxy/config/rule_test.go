package config

import (
	"errors"
	"log/slog"
	"slices"
	"testing"
)

// TestKeepRule: a rule that is refused is refused as a whole, and all the rest of a reload is taken.
func TestKeepRule(t *testing.T) {
	running, err := loadText(t, "name: a\nsynchronous_standby_names: s1")
	if err != nil {
		t.Fatal(err)
	}
	read, err := loadText(t, "name: a\nlog_level: debug\nsynchronous_standby_names: ANY 1 (s2)\n"+
		"synchronous_standby_zones: {rule: ANY 1 (*), zones: {east: [s2]}}")
	if err != nil {
		t.Fatal(err)
	}
	next, applied, _ := Reload(running, read)
	rest, refused := next.KeepRule(running, applied)
	var keys []string
	for _, x := range refused {
		keys = append(keys, x.Key)
	}
	if slices.Sort(keys); !slices.Equal(keys, []string{RuleKey, ZonesKey, zonesOf + "zones"}) ||
		len(rest) != 1 || rest[0].Key != "log_level" {
		t.Errorf("refused %q, the rest is %v", keys, rest)
	}
	if next.SynchronousStandbyNames != "s1" || next.SynchronousStandbyZones.Rule != "" ||
		len(next.SynchronousStandbyZones.Zones) != 0 || next.LogLevel != slog.LevelDebug {
		t.Errorf("in force: %+v", next)
	}
	if err := read.DropsRule(); !errors.Is(err, ErrRuleInFile) || (&Config{}).DropsRule() != nil {
		t.Errorf("a rule is dropped only when the file has none: %v", err)
	}
}
