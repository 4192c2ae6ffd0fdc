package pages

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// credentials names the directory into which systemd puts the credentials of packaging/replproxy.service.
const credentials = "/run/credentials/replproxy.service"

// TestQuorumKey makes the key of a cluster as docs/quorum.md says, and starts proxies with it. They get root's file as
// a credential, as the unit does, or as a file that a group may read. Root's alone is refused, with the remedy.
func TestQuorumKey(t *testing.T) {
	t.Parallel()
	h, page := newHouse(t), scene.OpenPage(t, "docs/quorum.md")
	db1 := h.machine(t, "db1")
	primary := h.primary(t, db1)
	primary.Exec(t, "CREATE ROLE replproxy REPLICATION LOGIN PASSWORD '"+ownPassword+"'")
	files := []string{
		page.Block(t, "key_file:") + "data_dir: /var/lib/replproxy\nupstream: {conninfo: host=db1 user=replproxy}\n",
		page.Block(t, "name: proxy_b"), // whole
	}
	var machines []*machine
	var members []string
	for i, name := range []string{"proxy_a", "proxy_b"} {
		m := h.machine(t, name)
		machines = append(machines, m)
		run := filepath.Join(m.dir, "run")
		mkdir(t, run, "credentials/replproxy.service")
		m.Bind("/run", run)
		// The beginning of the file is enough for the line of members.
		h.write(t, name+"/etc/replproxy.yml", files[i], 0o644)
		line := h.sh(t, m, "replproxy identity -c /etc/replproxy/replproxy.yml")
		members = append(members, strings.TrimSpace(line))
	}
	key := page.Block(t, "urandom")
	if _, err := h.run(t, machines[0], true, key); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(machines[0].dir, "etc", "gossip.key"))
	if err != nil {
		t.Fatal(err)
	}
	h.write(t, "proxy_b/etc/gossip.key", string(content), 0o600)

	for i, m := range machines {
		text := files[i]
		for j, name := range []string{"proxy_a", "proxy_b"} {
			text = strings.ReplaceAll(text, fmt.Sprintf(`"%s ed25519:…"`, name), `"`+members[j]+`"`)
			text = strings.ReplaceAll(text, fmt.Sprintf("10.0.0.%d:", j+1), machines[j].Addr+":")
		}
		text = "http: " + m.Addr + ":6580\nhttp_hosts: [" + m.Name + "]\n" + text
		h.write(t, m.Name+"/etc/replproxy.yml", text, 0o644)
		said, err := h.run(t, m, false, "replproxy run -c /etc/replproxy/replproxy.yml")
		if err == nil || !strings.Contains(said, "permission denied") || !strings.Contains(said, "packaging/replproxy.service") {
			t.Errorf("root's key without a credential: %v", err)
		}
		if i == 0 { // what LoadCredential does with it
			secret := filepath.Join(m.dir, "run", "credentials", "replproxy.service", "gossip.key")
			if err := os.WriteFile(secret, content, 0o400); err != nil {
				t.Fatal(err)
			}
			h.in.Give(t, secret)
			h.write(t, m.Name+"/etc/replproxy.yml", strings.ReplaceAll(text, "/etc/replproxy/gossip.key", credentials+"/gossip.key"), 0o644)
		} else {
			h.in.LetRead(t, filepath.Join(m.dir, "etc", "gossip.key"))
		}
		h.background(t, m, "env CREDENTIALS_DIRECTORY="+credentials+" replproxy run -c /etc/replproxy/replproxy.yml")
	}
	for _, m := range machines {
		pgtest.WaitFor(t, time.Minute, "the other one to be reached and heard from "+m.Name, func() (bool, error) {
			said, _ := h.run(t, m, false, "replproxy status --http "+m.Name+":6580 --json")
			return strings.Contains(said, `"heard_at"`) && strings.Contains(said, `"sending": true`), nil
		})
		listed(t, m)
	}
}
