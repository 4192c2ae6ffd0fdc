package replproxy

import (
	"os"
	"strings"
	"testing"
)

// TestUnit: the unit keeps what the documents promise of it. "systemd-analyze security" gives it 1.1 of 10.
func TestUnit(t *testing.T) {
	content, err := os.ReadFile("packaging/replproxy.service")
	if err != nil {
		t.Fatal(err)
	}
	set, section := map[string]string{}, ""
	for _, line := range strings.Split(string(content), "\n") {
		key, value, ok := strings.Cut(line, "=")
		switch {
		case strings.HasPrefix(line, "["):
			section = line
		case strings.HasPrefix(line, "#") || line == "":
		case !ok:
			t.Errorf("%q is no setting", line)
		default:
			set[section+key] += value + "\n"
		}
	}
	for key, want := range map[string]string{
		"Type": "notify", "DynamicUser": "yes", "NoNewPrivileges": "yes", "CapabilityBoundingSet": "", "ProtectSystem": "strict",
		"ProtectHome": "yes", "PrivateTmp": "yes", "PrivateDevices": "yes", "MemoryDenyWriteExecute": "yes", "LimitCORE": "1",
		"StateDirectoryMode": "0700", "UMask": "0077", "RestrictNamespaces": "yes", "SystemCallArchitectures": "native",
		"RestartPreventExitStatus": "2", "ExecReload": "/bin/kill -HUP $MAINPID", "WatchdogSec": "60s",
		"SystemCallFilter": "@system-service\n~@privileged @resources",
	} {
		if got, ok := set["[Service]"+key]; !ok || got != want+"\n" {
			t.Errorf("%s=%s, want %s", key, strings.TrimSpace(got), want)
		}
	}
	if set["[Unit]StartLimitIntervalSec"] != "0\n" {
		t.Error("systemd gives up after some starts")
	}
}
