package pages

import (
	"os"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/scene"
)

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// TestConfigurations: each piece of a configuration on a page is valid with a name and an upstream beside it. An
// unknown key, or a rule or line of access that cannot be read, ends check before it asks anybody.
func TestConfigurations(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.machine(t, "proxy_a")
	for _, c := range []struct {
		page   *scene.Page
		pieces []string
	}{
		{scene.OpenPage(t, "docs/access.md"), []string{"host    replication", "listen:"}},
		{scene.OpenPage(t, "docs/quorum.md"), []string{"report: written", "zones:", "via: cluster"}},
	} {
		for _, words := range c.pieces {
			piece := c.page.Block(t, words)
			upstream := "upstream:\n  conninfo: host=127.0.0.1 port=1 user=replproxy\n"
			if strings.HasPrefix(piece, "upstream:") {
				piece = strings.TrimPrefix(piece, "upstream:\n")
				upstream += piece
				piece = "cluster: {bind: \"127.0.0.1:0\", join: [\"127.0.0.1:9\"], key_file: /etc/replproxy/gossip.key,\n" +
					"  members: [\"proxy_a ed25519:TV9bxIVTK/VkBNpZNkawmYTFgMyrYE3ae2rsRylcsQA=\", \"proxy_b ed25519:" +
					"hqAV1MZCx5v3hMVE7XO7yYHVdcZz8mvLSS0XNkjZoh4=\"]}\n"
				h.write(t, "proxy_a/etc/gossip.key", "TV9bxIVTK/VkBNpZNkawmYTFgMyrYE3ae2rsRylcsQA=\n", 0o600)
			}
			h.write(t, "proxy_a/etc/replproxy.yml", "name: proxy_a\n"+upstream+piece, 0o644)
			said, err := h.run(t, m, true, "replproxy check -c /etc/replproxy/replproxy.yml")
			if err == nil || strings.Contains(said, "unusable configuration") || !strings.Contains(said, "fail  upstream") {
				t.Errorf("%s: %v\n%s", words, err, said)
			}
		}
	}
}
