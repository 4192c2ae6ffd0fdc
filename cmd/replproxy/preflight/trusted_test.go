package preflight

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/handshake/access"
)

// TestTrustedClients: what check and run say of rules with trust (ruling R34).
func TestTrustedClients(t *testing.T) {
	for _, tc := range []struct {
		rules string
		unix  bool
		want  string // a part of the warning, "" for none
	}{
		{"host all all 10.0.0.0/8 trust", false, "10.0.0.1, a gateway"},
		{"host all all 10.0.0.1/32 reject\nhost all all 10.0.0.0/8 trust", false, ""},
		{"host all all 10.0.0.1/32 relay\nhost all all all trust", false, "rule 2 says trust for fe80::1"},
		{"host all bob 10.0.0.1/32 relay\nhost all all 10.0.0.0/8 trust", false, "rule 2 says trust for 10.0.0.1"},
		{"host all all 127.0.0.1/32 trust", false, ""},
		{"host all all 127.0.0.1/32 trust", true, "unix socket"},
		{"local all all trust", true, "unix socket"},
		{"local all all relay", true, ""},
	} {
		rules, err := access.Parse(strings.Split(tc.rules, "\n"))
		if err != nil {
			t.Fatal(err)
		}
		s, f := goodSetup(), goodFacts()
		s.Access, s.UnixLeg = []*access.Rules{rules}, tc.unix
		f.Gateways = []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fe80::1")}
		var checked string
		for _, c := range Judge(s, f) {
			if c.Name == "access trust" {
				checked = c.Text
			}
		}
		advised := strings.Join(Advise(s, f, nil), "\n")
		for who, text := range map[string]string{"check": checked, "run": advised} {
			if tc.want == "" && strings.Contains(text, "trust") || !strings.Contains(text, tc.want) {
				t.Errorf("%q, unix %v: %s says %q", tc.rules, tc.unix, who, text)
			}
		}
	}
}

// TestGateways: tables as the kernel writes them.
func TestGateways(t *testing.T) {
	got := gateways4("Iface\tDestination\tGateway \tFlags\neth0\t00000000\t0100000A\t0003\t0\neth0\t0000000A\t00000000\t0001\n" +
		"eth1\t00000B0A\t0100000A\t0003\nx\n")
	if len(got) != 1 || got[0] != netip.MustParseAddr("10.0.0.1") {
		t.Errorf("IPv4: %v", got)
	}
	zero := strings.Repeat("0", 32)
	got = gateways6(zero + " 00 " + zero + " 00 fe800000000000000000000000000001 00000400 eth0\n" + zero + " 00 " + zero + " 00 " + zero + " lo\n")
	if len(got) != 1 || got[0] != netip.MustParseAddr("fe80::1") {
		t.Errorf("IPv6: %v", got)
	}
	_ = gateways() // of this machine, whatever they are
}
