package access

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"testing"
)

func TestVoters(t *testing.T) {
	v, certs, err := ParseVoters([]string{"s1 role standby1", `S2  cert "CN=two,O=x y"`, "s2 cert two-cn", `"odd ""name" role "a role"`})
	if err != nil || !certs {
		t.Fatal(certs, err)
	}
	two := &x509.Certificate{Subject: pkix.Name{CommonName: "two", Organization: []string{"x y"}}}
	byName := &x509.Certificate{Subject: pkix.Name{CommonName: "two-cn"}}
	for _, tc := range []struct {
		name, user string
		cert       *x509.Certificate
		ok         bool
	}{
		{"s1", "standby1", nil, true}, {"S1", "standby1", nil, true}, {"s1", "cdc", nil, false}, {"S1", "cdc", two, false}, {"s1", "STANDBY1", nil, false},
		{"s2", "two", nil, false}, {"s2", "anybody", two, true}, {"s2", "anybody", byName, true},
		{"s2", "anybody", &x509.Certificate{Subject: pkix.Name{CommonName: "CN=two,O=x y, evil"}}, false},
		{`odd "name`, "a role", nil, true}, {`odd "name`, "arole", nil, false}, {"other", "cdc", nil, true}, {"", "cdc", nil, true},
	} {
		e := v.Refuse(tc.name, tc.user, tc.cert)
		if (e == nil) != tc.ok || e != nil && e.Code != "42501" {
			t.Errorf("%+v: %v", tc, e)
		}
	}
	if (*Voters)(nil).Refuse("s1", "x", nil) != nil {
		t.Error("nothing is bound to anybody")
	}
	for _, bad := range []string{"", "s1", "s1 role", "s1 rule x", "s1 role a b", `s1 role "a`, `"" role a`, `s1 role ""`} {
		if _, _, err := ParseVoters([]string{"s1 role x", bad}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
