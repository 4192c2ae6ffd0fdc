package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// TestCheckSCRAM: check asks auth.query, and proposes rules that say what the primary's pg_hba.conf does.
func TestCheckSCRAM(t *testing.T) {
	in := pgtest.Need(t, 16)
	primary := in.Primary(t, pgtest.HBA("local all all trust", "host all postgres 127.0.0.1/32 trust",
		"host replication postgres 127.0.0.1/32 trust", "host replication standby 10.0.0.0/8 md5", "host all +pg_monitor all reject"))
	file := filepath.Join(in.TempDir(t), "replproxy.yml")
	config := "auth: {method: scram, query: 'SELECT * FROM replproxy.auth($1)'}\nsynchronous_standby_names: s1\n"
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	check := func(wants ...string) {
		t.Helper()
		_, out, errs := program(t, nil, "check", "-c", file, "--upstream", primary.Conninfo(), "--data-dir", in.TempDir(t))
		for _, want := range wants {
			if !strings.Contains(out, want) {
				t.Errorf("check does not say %q:\n%s%s", want, out, errs)
			}
		}
		if strings.Contains(out, "rule and log-in") || strings.Contains(out, "SCRAM-SHA-256$") {
			t.Errorf("check:\n%s", out)
		}
	}
	check("fail  auth.query", `schema "replproxy" does not exist`, "Make the function of docs/auth.md",
		"warn  access", "- host replication postgres 127.0.0.1/32 scram-sha-256\n      - host replication standby 10.0.0.0/8 scram-sha-256\n",
		"1 more of its lines")
	text, err := os.ReadFile("../../docs/auth.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "<!-- function -->\n```sql TestAuthPage\n")
	function, _, _ := strings.Cut(rest, "```\n<!-- end -->")
	primary.Exec(t, "CREATE ROLE replproxy LOGIN")
	primary.Exec(t, function)
	check("ok    auth.query", "answers for the proxy's own role")
	_, rest, _ = strings.Cut(string(text), "<!-- proxy -->\n```yaml TestAuthPage\n")
	documented, _, ok := strings.Cut(rest, "```\n<!-- end -->")
	if err := os.WriteFile(file, []byte(documented), 0o600); !ok || err != nil {
		t.Fatalf("docs/auth.md shows no configuration: %v", err)
	}
	check("ok    auth.query", "ok    access")
	primary.Exec(t, "DROP FUNCTION replproxy.auth; CREATE FUNCTION replproxy.auth(text) RETURNS TABLE (rolname text, rolpassword text) "+
		"LANGUAGE sql AS $$ SELECT $1, 'SCRAM-SHA-256$x' $$")
	check("fail  auth.query", "no column rolcanlogin")
}
