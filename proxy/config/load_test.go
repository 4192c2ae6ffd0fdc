package config

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// upstream makes a configuration complete.
var upstream = []Override{{"upstream", []string{"host=db1"}}}

func loadText(t *testing.T, content string, overrides ...Override) (*Config, error) {
	t.Helper()
	d, errs := parse("replproxy.yml", []byte(content))
	if len(errs) > 0 {
		return nil, errs
	}
	return load(d, append(overrides, upstream...))
}

const reference = "../../cmd/replproxy/etc/replproxy.yml"

// TestReferenceFileHoldsTheDefaults: the commented file is the documentation, so it may not lie.
func TestReferenceFileHoldsTheDefaults(t *testing.T) {
	got, err := Load(reference, upstream)
	if err != nil {
		t.Fatal(err)
	}
	want, err := Load("", upstream)
	if err != nil {
		t.Fatal(err)
	}
	got.file, want.file, got.origins, want.origins = nil, nil, nil, nil
	got.Access, got.Cluster.Join = nilIfEmpty(got.Access), nilIfEmpty(got.Cluster.Join)
	got.Cluster.Members, got.HTTPHosts = nilIfEmpty(got.Cluster.Members), nilIfEmpty(got.HTTPHosts)
	got.Voters = nilIfEmpty(got.Voters)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the reference file differs from the defaults:\n%+v\n%+v", got, want)
	}
}

func nilIfEmpty(s []string) []string {
	if len(s) == 0 {
		return nil
	}
	return s
}

// TestReferenceFileNamesEveryKey: nothing that can be set is undocumented, no flag is either.
func TestReferenceFileNamesEveryKey(t *testing.T) {
	content, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		leaf := k.path[strings.LastIndexByte(k.path, '.')+1:]
		if k.path != "" && !strings.Contains(string(content), leaf+":") {
			t.Errorf("%s is missing", k.path)
		}
		if k.path != "" && k.flag != "" && !strings.Contains(string(content), "--"+k.flag) {
			t.Errorf("flag --%s is missing", k.flag)
		}
	}
}

func TestFileThenFlags(t *testing.T) {
	c, err := loadText(t, `
name: proxy_a
listen: [":1", "unix:/run/x"]
upstream: {conninfo: "host=fromfile", slot: ""}
wal:
  keep_size: 64MB
slots: {auto_create: yes}
auth: {max_upstream_walsenders: 7}
`, Override{"listen", []string{"127.0.0.1:9"}}, Override{"log-level", []string{"debug"}})
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "proxy_a" || c.Upstream.Conninfo != "host=db1" || c.SlotName() != "" ||
		!reflect.DeepEqual(c.Listen, []string{"127.0.0.1:9"}) || c.LogLevel != slog.LevelDebug ||
		c.WAL.KeepSize != 64*mib || !c.Slots.AutoCreate || c.Auth.MaxUpstreamWalsenders != 7 {
		t.Errorf("got %+v", c)
	}
}

func TestSlotLimits(t *testing.T) {
	for text, want := range map[string]AutoSize{
		"auto": {Auto: true}, "-1": {Size: -1}, "0": {}, "10GB": {Size: 10 << 30}, "100": {Size: 100 * mib},
	} {
		c, err := loadText(t, "wal: {max_slot_wal_keep_size: "+text+"}\nslots: {idle_timeout: 2}\nfeedback: {settle: 1min}")
		if err != nil || c.WAL.MaxSlotWALKeepSize != want || c.Slots.IdleTimeout != 2*time.Second ||
			c.Feedback.Settle != time.Minute {
			t.Errorf("%s: %+v, %v", text, c, err)
		}
		if got, err := parseAutoSize(want.String()); err != nil || got != want {
			t.Errorf("%v is printed as %s", want, want)
		}
	}
	if _, err := loadText(t, "wal: {max_slot_wal_keep_size: -2}"); err == nil {
		t.Error("-2 is a size")
	}
}

func TestZones(t *testing.T) {
	c, err := loadText(t, "synchronous_standby_names: ANY 2 (*)\n"+
		"synchronous_standby_zones: {rule: ANY 2 (*), zones: {west: [s3, 'a,b'], east: [s1]}}")
	want := []Zone{{"east", []string{"s1"}}, {"west", []string{"s3", "a,b"}}}
	if err != nil || c.SynchronousStandbyZones.Rule != "ANY 2 (*)" || !reflect.DeepEqual(c.SynchronousStandbyZones.Zones, want) {
		t.Errorf("%+v, %v", c, err)
	}
	if k, _ := keyByPath("synchronous_standby_zones.zones"); k.of(c).get() != "{east: [s1], west: [s3, a,b]}" {
		t.Error(k.of(c).get())
	}
	for zones, want := range map[string]string{
		"x":                      "expected names and lists, as in {east: [s1, s2]}",
		"{east: s1}":             "expected a list, as in [s1, s2]",
		"{east: []}":             "expected a list, as in [s1, s2]",
		"{east: [{}]}":           "expected a single value",
		"{east: [a], east: [b]}": "already defined",
	} {
		_, err := loadText(t, "synchronous_standby_zones: {zones: "+zones+"}")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", zones, err)
		}
	}
}

func TestSlotName(t *testing.T) {
	for content, want := range map[string]string{
		"name: proxy_a":                    "replproxy_proxy_a",
		"name: Proxy-A":                    "replproxy_proxy_a",
		"name: " + strings.Repeat("x", 63): "replproxy_" + strings.Repeat("x", 53),
		"name: a\nupstream: {slot: mine}":  "mine",
		"name: a\nupstream: {slot: ''}":    "",
		"name: a\nupstream: {slot: }":      "replproxy_a",
	} {
		c, err := loadText(t, content)
		if err != nil {
			t.Errorf("%q: %v", content, err)
		} else if c.SlotName() != want {
			t.Errorf("%q: slot %q, want %q", content, c.SlotName(), want)
		}
	}
}

func TestRuleGate(t *testing.T) {
	for content, want := range map[string]string{
		"slots: {rule_gate: gate}":                                              "",
		"slots: {rule_gate: Gate}":                                              "invalid character",
		"name: a\nslots: {rule_gate: replproxy_a}":                              "is upstream.slot",
		"upstream: {slot: ''}\nslots: {rule_gate: gate}":                        "needs a slot of this proxy's own",
		"slots: {mirror: gate}":                                                 "name a slot in slots.rule_gate",
		"slots: {mirror: presence, rule_gate: " + strings.Repeat("x", 64) + "}": "too long",
	} {
		_, err := loadText(t, content)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v", content, err)
		}
	}
}

func TestNoFileNeeded(t *testing.T) {
	for _, content := range []string{"", "# nothing\n", "---\n"} {
		if _, err := loadText(t, content); err != nil {
			t.Errorf("%q: %v", content, err)
		}
	}
	_, err := Load(filepath.Join(t.TempDir(), "absent.yml"), upstream)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "leave out -c") {
		t.Errorf("absent file: %v", err)
	}
}

// TestTLSKeys: what the tls keys say against each other.
func TestTLSKeys(t *testing.T) {
	const files = "cert_file: /c, key_file: /k"
	for content, want := range map[string]string{
		"{mode: off}":                                           "",
		"{mode: off, " + files + "}":                            "", // to be turned on later
		"{mode: allow, " + files + "}":                          "",
		"{mode: allow, key_file: /k}":                           "tls.cert_file: is not set",
		"{mode: require, cert_file: /c}":                        "tls.key_file: is not set",
		"{mode: on, " + files + "}":                             "is not one of off, allow, require",
		"{mode: require, " + files + ", clientcert: verify-ca}": "needs tls.client_ca_file",
		"{mode: allow, " + files + ", client_ca_file: /a, clientcert: verify-ca}":                     "needs tls.mode: require",
		"{mode: require, " + files + ", client_ca_file: /a, clientcert: verify-ca}":                   "",
		"{mode: require, " + files + ", client_ca_file: /a, clientcert: verify-full}":                 "",
		"{mode: require, " + files + ", client_ca_file: /a, clientcert: verify-full, clientname: dn}": "",
		"{mode: require, " + files + ", client_ca_file: /a, clientcert: verify-ca, clientname: dn}":   "does nothing without",
		"{mode: require, " + files + ", client_ca_file: /a, clientcert: verify_full}":                 "is not one of optional",
	} {
		_, err := loadText(t, "tls: "+content)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", content, err, want)
		}
	}
}

// TestAuthKeys: what the auth keys say against each other.
func TestAuthKeys(t *testing.T) {
	for content, want := range map[string]string{
		"{method: relay}":                                                        "",
		"{method: scram}":                                                        "auth.method: scram needs verifiers",
		"{method: scram, query: SELECT 1}":                                       "",
		"{method: scram, users_file: /u}":                                        "",
		"{method: scram, users_file: /u, cache_ttl: 2d}":                         "auth.cache_ttl: is longer than",
		"{method: scram, users_file: /u, cache_ttl: 0, cache_max_age: 0}":        "",
		"{method: scram, query: SELECT 1, users_file: /u, cache_max_age: 1week}": "auth.cache_max_age",
		"{query: SELECT 1}":                                                      "auth.query: does nothing without",
		"{users_file: /u}":                                                       "auth.users_file: does nothing without",
		"{method: peer}":                                                         "is not one of relay, scram",
	} {
		_, err := loadText(t, "auth: "+content)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", content, err, want)
		}
	}
}

func TestDefaultName(t *testing.T) {
	for host, want := range map[string]string{
		"db-proxy.example": "db_proxy_example", "10-0-0-1": "proxy_10_0_0_1", "": "replproxy",
		"UPPER": "upper", strings.Repeat("h", 80): strings.Repeat("h", 53), "ü": "_",
	} {
		if got := defaultName(host, nil); got != want {
			t.Errorf("%q: %q, want %q", host, got, want)
		}
	}
	if got := defaultName("x", errors.New("no")); got != "replproxy" {
		t.Errorf("without host name: %q", got)
	}
}

// TestListenEntries: an entry is an address, or an address with rules of its own.
func TestListenEntries(t *testing.T) {
	c, err := loadText(t, `
listen:
  - ":1"
  - {address: "unix:/run/x", access: ["local all all trust", "local replication all reject"]}
  - address: 127.0.0.1:2
    access: []
  - address: ":3"
access: [host all all 10.0.0.0/8 relay]
`)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{":1", "unix:/run/x", "127.0.0.1:2", ":3"}; !reflect.DeepEqual(c.Listen, want) {
		t.Errorf("listen %q", c.Listen)
	}
	set := c.AccessSet()
	if set.Default.Rules.Len() != 1 || len(set.Listeners) != 2 || set.Listeners["unix:/run/x"].Rules.Len() != 2 ||
		set.Listeners["127.0.0.1:2"].Rules.Len() != 0 {
		t.Errorf("%+v", set)
	}
}
