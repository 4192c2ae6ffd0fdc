package replproxy

import (
	"go/ast"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rule forbids imports with a reason. A rule holds for packages under From and the ones it names.
type rule struct {
	From   string   // folder prefix; "" is the whole repository
	Except []string // folder prefixes that may
	Deny   []string // import path prefixes; "~/" is this module
	Why    string
}

var importRules = []rule{
	{"", []string{"conformance", "proxy", "fanout", "handshake", "cmd", "grammar", "cluster", "internal"}, []string{"~/"},
		"the root holds rules, not code"},
	{"grammar", nil, []string{"~/handshake", "~/fanout", "~/cluster", "~/proxy", "~/internal", "~/cmd"},
		"the language knows nobody"},
	{"handshake", nil, []string{"~/fanout", "~/cluster", "~/proxy", "~/cmd"},
		"who a connection is does not depend on WAL"},
	{"fanout", nil, []string{"~/cluster", "~/proxy", "~/cmd"},
		"fanout declares the interfaces it needs; cmd plugs the cluster in"},
	{"cluster", nil, []string{"~/fanout", "~/handshake", "~/proxy", "~/cmd"},
		"the cluster is told positions, it does not look for them"},
	{"fanout/walstore", nil, []string{"~/fanout/walsender", "~/fanout/walreceiver", "~/fanout/slot", "~/handshake"},
		"the store serves both sides and knows neither"},
	{"fanout/walsender", nil, []string{"~/fanout/walreceiver", "~/handshake"},
		"WAL in and WAL out meet in the store only"},
	{"fanout/walreceiver", nil, []string{"~/fanout/walsender", "~/fanout/walsource"},
		"WAL in and WAL out meet in the store only, and a stream does not choose its source"},
	{"fanout/walsource", nil, []string{"~/fanout/walsender"},
		"WAL in and WAL out meet in the store only"},
	{"proxy", []string{"proxy/report"}, []string{"~/cluster", "~/cmd"},
		"the building is handed its parts by cmd"},
	{"proxy/report", nil, []string{"~/cmd"},
		"a report reads what cmd has asked the parts"},
	{"", []string{"cmd/replproxy/daemon", "proxy/report"}, []string{"~/proxy/report"},
		"who asks the parts makes the report"},
	{"", []string{"conformance"}, []string{"~/conformance"},
		"nothing imports the inspector"},
	{"", []string{"cluster/gossip"}, []string{"github.com/hashicorp/memberlist"},
		"memberlist is used in one room"},
	{"", []string{"proxy/config"}, []string{"github.com/goccy/go-yaml"},
		"YAML is read in one room"},
	{"", []string{"fanout/walstore", "cluster/puller"}, []string{"github.com/cespare/xxhash"},
		"digests are the store's business, and ranks the puller's"},
	{"", []string{"proxy/admin"}, []string{"github.com/prometheus"},
		"metrics are rendered in one place"},
	{"", []string{"cmd/replproxy"}, []string{"github.com/spf13"},
		"commands belong to cmd"},
	{"cmd/replproxy/daemon", nil, []string{"github.com/spf13", "~/cmd/replproxy/ask"},
		"the daemon has no command line, and asks no other one"},
	{"cmd/replproxy/ask", nil, []string{"github.com/spf13", "~/fanout", "~/cmd/replproxy/daemon"},
		"a question needs no proxy in the process that asks"},
	{"cmd/replproxy", []string{"cmd/replproxy/ask", "cmd/replproxy/daemon", "cmd/replproxy/demo", "cmd/replproxy/preflight",
		"cmd/replproxy/show", "cmd/replproxy/walfetch"}, []string{"~/cluster", "~/fanout"},
		"a command decides nothing about replication"},
}

// TestImports holds the directions of ARCHITECTURE.md. Tests of a package may reach further, to
// real servers above all, so only non-test files count.
func TestImports(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, im := range s.file.Imports {
			path, _ := strconv.Unquote(im.Path.Value)
			for _, r := range importRules {
				if under(s.dir, r.From) && !anyUnder(s.dir, r.Except) && denied(path, r.Deny) {
					t.Errorf("%s imports %s: %s", s.path, path, r.Why)
				}
			}
			if under(s.dir, "grammar") && strings.Contains(path, ".") && !strings.HasPrefix(path, module) {
				t.Errorf("%s imports %s: grammar uses the standard library only", s.path, path)
			}
		}
	}
}

// TestSocketsInTheTransport: below walsource.Conn and walreceiver.Conn lies whatever brings WAL. Only the transport over
// PostgreSQL's protocol knows of frames and sockets.
func TestSocketsInTheTransport(t *testing.T) {
	transport := []string{"session.go", "decode.go", "slotcommands.go", "identify.go"}
	seen := 0
	for _, s := range sources(t) {
		base := s.path[strings.LastIndex(s.path, "/")+1:]
		if s.test || s.dir != "fanout/walsource" && s.dir != "fanout/walreceiver" || slices.Contains(transport, base) {
			continue
		}
		seen++
		for _, im := range s.file.Imports {
			switch path, _ := strconv.Unquote(im.Path.Value); path {
			case "net", module + "/internal/wire", module + "/grammar":
				t.Errorf("%s imports %q: that is the transport's", s.path, path)
			}
		}
	}
	if seen < 30 {
		t.Errorf("only %d files were looked at", seen)
	}
}

// TestPureCores: decisions take the time as an argument and touch no socket or file.
func TestPureCores(t *testing.T) {
	for _, s := range sources(t) {
		base := s.path[strings.LastIndex(s.path, "/")+1:]
		pure := []string{"cluster/quorum", "cluster/ledger", "cluster/compare", "cluster/vote", "cluster/tail", "fanout/slot/shared", "fanout/acceptance", "cluster/newstore", "proxy/report"}
		if base != "core.go" && base != "pick.go" && base != "retain.go" && base != "backoff.go" && !anyUnder(s.dir, pure) {
			continue
		}
		for _, im := range s.file.Imports {
			switch path, _ := strconv.Unquote(im.Path.Value); path {
			case "net", "os", "io/fs", "sync", "context":
				t.Errorf("%s imports %q: a core decides, a shell acts", s.path, path)
			}
		}
		if text := calls(s); strings.Contains(text, "time.Now ") {
			t.Errorf("%s calls time.Now: the caller brings the time", s.path)
		}
	}
}

// marshals are the packages whose types become JSON, and for whom.
var marshals = map[string]string{
	"cluster":                 "the answer to a fence",
	"cluster/loss":            "a file of data_dir",
	"cluster/tail":            "what members tell each other, and the answer of /tail",
	"handshake/roles":         "a file of data_dir",
	"proxy/admin":             "/status",
	"cmd/replproxy/preflight": "check --json",
}

// TestJSONTags: a type that nobody marshals has no tags that promise names.
func TestJSONTags(t *testing.T) {
	tagged := map[string]bool{}
	for _, s := range sources(t) {
		if s.test || under(s.dir, "tools") || under(s.dir, "conformance") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if f, ok := n.(*ast.Field); ok && f.Tag != nil && strings.Contains(f.Tag.Value, `json:"`) {
				tagged[s.dir] = true
				if marshals[s.dir] == "" {
					t.Errorf("%s: a JSON tag, and nobody marshals types of %s", s.fset.Position(f.Pos()), s.dir)
				}
			}
			return true
		})
	}
	for dir := range marshals {
		if !tagged[dir] {
			t.Errorf("%s has no JSON tags any more", dir)
		}
	}
}

func under(dir, prefix string) bool {
	return prefix == "" || dir == prefix || strings.HasPrefix(dir, prefix+"/")
}

func anyUnder(dir string, prefixes []string) bool {
	for _, p := range prefixes {
		if under(dir, p) {
			return true
		}
	}
	return false
}

func denied(path string, prefixes []string) bool {
	for _, p := range prefixes {
		p = strings.Replace(p, "~/", module+"/", 1)
		if path == p || strings.HasPrefix(path, p) && (strings.HasSuffix(p, "/") || path[len(p)] == '/') {
			return true
		}
	}
	return false
}
