package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOpenSecrets: a file with a secret that others may read is refused by name; what else shows one is told by check.
func TestOpenSecrets(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const conninfo = "host=127.0.0.1 port=1 user=x"
	pass := write("pgpass", "*:*:*:*:geheim\n", 0o644)
	token := write("token", strings.Repeat("t", 32), 0o604)
	whole := fmt.Sprintf("data_dir: %s/d\nupstream: {conninfo: \"%s password=geheim\"}\n", dir, conninfo)
	for _, tc := range []struct {
		name string
		args []string
		want string // a part of the refusal; "" is that there is no such refusal, but the one of the directory
	}{
		{"configuration for all", []string{"-c", write("a.yml", whole, 0o644)}, "has group or world access"},
		{"configuration for a group that may write", []string{"-c", write("b.yml", whole, 0o660)}, "has group or world access"},
		{"configuration for its owner", []string{"-c", write("c.yml", whole, 0o600)}, ""},
		{"configuration without a secret", []string{"-c", write("d.yml", strings.Replace(whole, " password=geheim", "", 1), 0o644)}, ""},
		{"a URI", []string{"-c", write("e.yml", fmt.Sprintf("data_dir: %s/d\nupstream: {conninfo: \"postgres://x:geheim@h/d\"}\n", dir), 0o644)},
			"has group or world access"},
		{"passfile", []string{"--upstream", conninfo + " passfile=" + pass}, "has group or world access"},
		{"passfile that is not needed", []string{"--upstream", conninfo + " password=y passfile=" + pass}, ""},
		{"passfile that is not there", []string{"--upstream", conninfo + " passfile=" + pass + ".not"}, ""},
		{"token", []string{"-c", write("f.yml", "http_token_file: "+token+"\nupstream: {conninfo: \""+conninfo+"\"}\n", 0o644)}, "has group or world access"},
	} {
		code, _, errs := program(t, nil, append([]string{"run", "--allow-root", "--http", "", "--listen", "256.0.0.1:1",
			"--data-dir", filepath.Join(dir, "d")}, tc.args...)...)
		if tc.want == "" && (code != exitFailure || !strings.Contains(errs, "listen on")) ||
			tc.want != "" && (code != 2 || !strings.Contains(errs, tc.want)) || strings.Contains(errs, "geheim") {
			t.Errorf("%s: exit code %d\n%s", tc.name, code, errs)
		}
		if tc.name == "token" {
			continue // unusable for check as well
		}
		_, out, errs := program(t, nil, append([]string{"check", "--http", "", "--data-dir", filepath.Join(dir, "d")}, tc.args...)...)
		if told := strings.Contains(out, "fail  secrets") && strings.Contains(out, tc.want) && strings.Contains(out, "→ chmod 0600 "); told != (tc.want != "") ||
			strings.Contains(out+errs, "geheim") {
			t.Errorf("check of %s:\n%s%s", tc.name, out, errs)
		}
		if root := strings.Contains(out, "warn  user") && strings.Contains(out, "--allow-root"); root != (os.Geteuid() == 0) {
			t.Errorf("check by uid %d:\n%s", os.Geteuid(), out)
		}
	}
	_, out, _ := program(t, nil, "check", "--http", "10.0.0.1:1", "--data-dir", filepath.Join(dir, "d"), "--upstream", conninfo+" password=geheim")
	if !strings.Contains(out, "warn  secrets") || !strings.Contains(out, "arguments of this process") || strings.Contains(out, "geheim") {
		t.Errorf("check:\n%s", out)
	}
	closed := write("token2", strings.Repeat("t", 32), 0o600)
	_, out, _ = program(t, nil, "check", "-c", write("g.yml", "http: 10.0.0.1:1\nhttp_token_file: "+closed+"\nupstream: {conninfo: \""+conninfo+"\"}\n", 0o644),
		"--data-dir", filepath.Join(dir, "d"))
	if !strings.Contains(out, "goes over the network in clear") || strings.Contains(out, "arguments of this process") {
		t.Errorf("check of http:\n%s", out)
	}
}
