package pgtest

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Cluster makes keys for proxies that were started with Stopped. It returns for each one the part of its file that
// makes it a member of their cluster: "cluster:" and its keys. binds are host:port, one each.
func Cluster(t testing.TB, binds []string, proxies ...*Proxy) (configs []string) {
	t.Helper()
	var members []string
	for _, p := range proxies {
		line := p.Program(t, "identity", "--name", p.Name, "--data-dir", p.DataDir, "--upstream", p.options.Upstream)
		members = append(members, strings.TrimSpace(line))
	}
	for i, p := range proxies {
		key := filepath.Join(p.SocketDir, "key")
		p.WriteFile(t, key, base64.StdEncoding.EncodeToString(make([]byte, 32))+"\n")
		if err := os.Chmod(key, 0o600); err != nil {
			t.Fatal(err)
		}
		configs = append(configs, fmt.Sprintf("cluster:\n  bind: %s\n  join: [%s]\n  key_file: %s\n  members: [%s]\n",
			binds[i], yamlTexts(binds), key, yamlTexts(members)))
	}
	return configs
}

func yamlTexts(texts []string) string {
	var all []string
	for _, s := range texts {
		all = append(all, fmt.Sprintf("%q", s))
	}
	return strings.Join(all, ", ")
}
