package access

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"
)

// shown is a certificate as it is parsed, with that subject.
func shown(t *testing.T, subject pkix.RDNSequence) *x509.Certificate {
	t.Helper()
	raw, err := asn1.Marshal(subject)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{RawSubject: raw}
	c.Subject.FillFromRDNSequence(&subject)
	return c
}

// rdns is a subject of common names.
func rdns(names ...string) (subject pkix.RDNSequence) {
	for _, name := range names {
		subject = append(subject, pkix.RelativeDistinguishedNameSET{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: name}})
	}
	return subject
}

func TestVoters(t *testing.T) {
	v, certs, err := ParseVoters([]string{"s1 role standby1", `S2  cert "CN=two,O=x y"`, "s2 cert two-cn", "s3 cert CN=b,CN=a", `"odd ""name" role "a role"`})
	if err != nil || !certs {
		t.Fatal(certs, err)
	}
	two := shown(t, pkix.Name{CommonName: "two", Organization: []string{"x y"}}.ToRDNSequence())
	byName := shown(t, rdns("two-cn"))
	for _, tc := range []struct {
		name, user string
		cert       *x509.Certificate
		ok         bool
	}{
		{"s1", "standby1", nil, true}, {"S1", "standby1", nil, true}, {"s1", "cdc", nil, false}, {"S1", "cdc", two, false}, {"s1", "STANDBY1", nil, false},
		{"s2", "two", nil, false}, {"s2", "anybody", two, true}, {"s2", "anybody", byName, true},
		{"s2", "anybody", shown(t, rdns("CN=two,O=x y, evil")), false},
		{"s2", "anybody", shown(t, rdns("CN=two,O=x y")), false},   // a common name is no distinguished name
		{"s2", "anybody", shown(t, rdns("evil", "two-cn")), false}, // the log-in takes the first
		{"s2", "anybody", shown(t, rdns("two-cn", "evil")), true},
		{"s3", "anybody", shown(t, rdns("a", "b")), true},
		{"s3", "anybody", shown(t, rdns("b", "a")), false},
		{"s3", "anybody", shown(t, rdns("b")), false},
		{"s2", "anybody", shown(t, nil), false},
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
