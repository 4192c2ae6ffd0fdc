package access

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func parse(t *testing.T, lines ...string) *Rules {
	t.Helper()
	r, err := Parse(lines)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestDecide(t *testing.T) {
	lan := func() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("192.168.7.5/24")} }
	regular := Facts{User: "alice", Database: "app", Client: addr("10.1.2.3"), Networks: lan}
	with := func(change func(*Facts)) Facts { f := regular; change(&f); return f }
	physical := with(func(f *Facts) { f.Physical, f.Database = true, "" })
	unix := with(func(f *Facts) { f.Client = netip.Addr{} })
	tls := with(func(f *Facts) { f.TLS = true })
	for _, tc := range []struct {
		rule  string
		facts Facts
		want  bool
	}{
		{"host all all all relay", regular, true},
		{"host all all all relay", tls, true},
		{"hostnogssenc all all all relay", tls, true},
		{"hostssl all all all relay", regular, false},
		{"hostssl all all all relay", tls, true},
		{"hostnossl all all all relay", regular, true},
		{"hostnossl all all all relay", tls, false},
		{"host all all all relay", unix, false},
		{"local all all relay", unix, true},
		{"local all all relay", regular, false},
		{"host all all all relay", physical, false},
		{"host replication all all relay", physical, true},
		{"host replication all all relay", regular, false},
		{`host "replication" all all relay`, physical, false},
		{`host "replication" all all relay`, with(func(f *Facts) { f.Database = "replication" }), true},
		{`host "all" all all relay`, regular, false},
		{`host all "all" all relay`, regular, false},
		{"host sameuser all all relay", regular, false},
		{"host sameuser all all relay", with(func(f *Facts) { f.Database = "alice" }), true},
		{"host sameuser all all relay", physical, false},
		{"host other,app all all relay", regular, true},
		{"host app bob, alice all relay", regular, true},
		{"host app Alice all relay", regular, false},
		{"host /^a.p$ all all relay", regular, true},
		{"host /^b all all relay", regular, false},
		{`host "/^a,p$" all all relay`, with(func(f *Facts) { f.Database = "a,p" }), true},
		{`host all /l[[:alpha:]]c all relay`, regular, true},
		{"host /. all all relay", physical, false},
		{"host all all 10.0.0.0/8 relay", regular, true},
		{"host all all 10.9.9.9/8 relay", regular, true},
		{"host all all 10.1.2.0 255.255.255.0 relay", regular, true},
		{"host all all 10.9.2.3 255.0.255.255 relay", regular, true},
		{"host all all 11.0.0.0/8 relay", regular, false},
		{"host all all ::/0 relay", regular, false},
		{"host all all 0.0.0.0/0 relay", with(func(f *Facts) { f.Client = addr("fe80::1") }), false},
		{"host all all fe80::/10 relay", with(func(f *Facts) { f.Client = addr("fe80::1%eth0") }), true},
		{"host all all samehost relay", regular, false},
		{"host all all samehost relay", with(func(f *Facts) { f.Client = addr("192.168.7.5") }), true},
		{"host all all samehost relay", with(func(f *Facts) { f.Client = addr("192.168.7.6") }), false},
		{"host all all samenet relay", with(func(f *Facts) { f.Client = addr("192.168.7.6") }), true},
	} {
		d := Policy{Rules: parse(t, tc.rule)}.Decide(tc.facts)
		if (d.Refusal == nil) != tc.want {
			t.Errorf("%s for %+v: %+v", tc.rule, tc.facts, d)
		}
	}
}

func TestFirstMatchWins(t *testing.T) {
	rules := parse(t, "# head", "host all bob all reject", "hostssl all all all trust clientcert=verify-full clientname=DN",
		"host all all 10.0.0.0/8 scram-sha-256", "host all all all reject")
	facts := Facts{User: "alice", Database: "app", Client: addr("10.1.2.3")}
	d := Policy{Rules: rules}.Decide(facts)
	if d.Method != SCRAM || d.Rule != 4 || d.ClientCert != "" {
		t.Errorf("%+v", d)
	}
	facts.TLS = true
	if d = (Policy{Rules: rules}).Decide(facts); d != (Decision{Method: Trust, Rule: 3, ClientCert: "verify-full", ClientName: "dn"}) {
		t.Errorf("%+v", d)
	}
	facts.User = "bob"
	d = Policy{Rules: rules}.Decide(facts)
	if d.Refusal == nil || d.Refusal.Code != pgerror.InvalidAuthorization || d.Refusal.Message !=
		`pg_hba.conf rejects connection for host "10.1.2.3", user "bob", database "app", SSL encryption` {
		t.Errorf("%+v", d)
	}
	if rules.FirstWith(SCRAM) != 4 || rules.FirstTLS() != 3 || rules.FirstCertificate() != 3 || rules.FirstWith(Relay) != 0 {
		t.Error("rules are not found by what they need")
	}
}

// TestWithoutRules: rulings R1 and R15.
func TestWithoutRules(t *testing.T) {
	regular := Facts{User: "alice", Database: "app", Client: addr("10.1.2.3")}
	physical := Facts{User: "alice", Physical: true}
	for _, tc := range []struct {
		scram bool
		facts Facts
		want  Method
	}{{false, regular, Relay}, {false, physical, Relay}, {true, regular, SCRAM}, {true, physical, Reject}} {
		d := Policy{SCRAM: tc.scram}.Decide(tc.facts)
		if d.Method != tc.want || (d.Refusal != nil) != (tc.want == Reject) {
			t.Errorf("scram %t, %+v: %+v", tc.scram, tc.facts, d)
		}
		if d.Refusal != nil && d.Refusal.Message !=
			`no pg_hba.conf entry for replication connection from host "[local]", user "alice", no encryption` {
			t.Error(d.Refusal.Message)
		}
		if d.Refusal != nil && d.Refusal.Hint != ours {
			t.Errorf("the refusal does not say whose rules these are: %q", d.Refusal.Hint)
		}
	}
}

func TestVerified(t *testing.T) {
	rules, bad := Parse([]string{"host all b,a,/^x,all 10.0.0.0/8 scram-sha-256", "local all c reject", `host replication "all",a all scram-sha-256`})
	if bad != nil {
		t.Fatal(bad)
	}
	s := Set{Default: Policy{Rules: rules}, Listeners: map[string]Policy{":1": {Rules: rules}, ":2": {}}}
	if got := fmt.Sprint(s.Verified()); got != "[a all b]" {
		t.Error(got)
	}
}
