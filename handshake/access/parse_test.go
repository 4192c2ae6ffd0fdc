package access

import (
	"errors"
	"strings"
	"testing"
)

// TestParseErrors: the message, the remedy, and the column that the caret points at ("^" in the rule).
func TestParseErrors(t *testing.T) {
	for _, tc := range []struct{ line, at, want string }{
		{"hots all all all trust", "hots", `invalid connection type "hots"`},
		{"host,local all all all trust", "local", "multiple values specified for connection type"},
		{"hostgssenc all all all trust", "hostgssenc", "GSSAPI encryption is not supported"},
		{"include other.conf", "include", "include is not supported here"},
		{"host", "", "end-of-line before database specification"},
		{"host all", "", "end-of-line before role specification"},
		{"host all all", "", "end-of-line before IP address specification"},
		{"host all all 10.0.0.1", "", "end-of-line before netmask specification"},
		{"host all all 10.0.0.1 trust", "trust", `invalid IP mask "trust"`},
		{"host all all 10.0.0.1 ::1 trust", "::1", "IP address and mask do not match"},
		{"host all all 10.0.0.0/33 trust", "10.", "invalid CIDR mask in address"},
		{"host all all 10.0.0.0/ trust", "10.", "invalid CIDR mask in address"},
		{"host all all 10.0.0/8 trust", "10.", "invalid IP address"},
		{"host all all fe80::1%eth0/64 trust", "fe80", "with a zone"},
		{"host all all db1.example trust", "db1", `host names ("db1.example") are not looked up here; write the address`},
		{`host all all "all" trust`, `"all"`, "host names"},
		{"host all all all,::1/128 trust", "::1", "multiple values specified for host address"},
		{"host all all 10.0.0.0 255.0.0.0,255.0.0.0 trust", "255.0.0.0 ", "multiple values specified for netmask"},
		{"local all all", "", "end-of-line before authentication method"},
		{"local all all trust,reject", "reject", "multiple values specified for authentication type"},
		{"local all all md5", "md5", `authentication method "md5" is not supported here; this method is the primary's: write relay`},
		{"local all all cert", "cert", "write relay clientcert=verify-full"},
		{"local all all scram", "scram", `invalid authentication method "scram"; it is one of relay`},
		{"local all +dba trust", "+dba", "who is a member of which role"},
		{"local samerole all trust", "samerole", "who is a member of which role"},
		{"local samegroup all trust", "samegroup", "who is a member of which role"},
		{"local @dbs all trust", "@dbs", "files of names (@dbs) are not read here"},
		{`local "a b all trust`, `"a`, "unterminated quoted name"},
		{"local /( all trust", "/(", "invalid regular expression"},
		{`local /a\yb all trust`, "/a", `the escape \y is not supported here`},
		{"local /(?=a) all trust", "/(", "(? is not supported"},
		{"local /[[=a=]] all trust", "/[", "[= is not supported"},
		{"local /[[:<:]] all trust", "/[", "[: is not supported"},
		{"local /ä all trust", "/ä", "only ASCII"},
		{"local /***=x all trust", "/*", "a director"},
		{"host all all all trust clientcert=verify-ca", "clientcert", `clientcert can only be configured for "hostssl" rows`},
		{"hostssl all all all trust clientcert=1", "clientcert", `invalid value for clientcert: "1"; it is verify-ca or verify-full`},
		{"hostssl all all all trust clientname=CN", "clientname", "does nothing without clientcert=verify-full"},
		{"hostssl all all all trust clientcert=verify-full clientname=cn", "clientname", `invalid value for clientname: "cn"`},
		{"hostssl all all all trust map=x", "map", `unrecognized authentication option name: "map"`},
		{"hostssl all all all trust map", "map", "authentication option not in name=value format: map"},
		{"local all all trust\nlocal all all reject", "\n", "more than one line"},
		{"local all " + strings.Repeat("x", MaxRule) + " trust", "", "longer than"},
	} {
		_, err := Parse([]string{"# a comment", tc.line})
		var all Errors
		if !errors.As(err, &all) || len(all) != 1 || all[0].Rule != 2 || !strings.Contains(all[0].Text(), tc.want) {
			t.Errorf("%q: %v, want %q", tc.line, err, tc.want)
			continue
		}
		at := strings.LastIndex(tc.line, tc.at)
		if tc.at == "" {
			at = min(len(tc.line), MaxRule)
		}
		if tc.at == "10." {
			at = strings.Index(tc.line, tc.at)
		}
		if all[0].Offset != at {
			t.Errorf("%q: caret at %d, want %d", tc.line, all[0].Offset, at)
		}
	}
}

func TestErrorShowsTheRule(t *testing.T) {
	_, err := Parse([]string{"local all all relay", "host\tall all 10.0.0.1/8 md5", "host x y"})
	want := `rule 2: authentication method "md5" is not supported here; this method is the primary's: write relay, and the primary's pg_hba.conf decides
    host all all 10.0.0.1/8 md5
                            ^
rule 3: end-of-line before IP address specification
    host x y
            ^`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestTooManyRules(t *testing.T) {
	lines := make([]string, MaxRules+1)
	for i := range lines {
		lines[i] = "local all all relay"
	}
	if _, err := Parse(lines[1:]); err != nil {
		t.Error(err)
	}
	if _, err := Parse(lines); err == nil {
		t.Error("no limit")
	}
}

// FuzzParse: whatever the text, no panic, a column within it, and a decision that can be taken.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"hostssl replication repl 10.0.0.0/8 scram-sha-256", `local "all",sameuser all trust # x`,
		"host all all 10.0.0.0 255.0.0.0 relay", "hostnossl all all samenet reject", "host /^a+$ /b|c all trust",
		"hostssl all all ::/0 relay clientcert=verify-full clientname=DN", `local "a""b,c" , , d all`, "host all all ::ffff:1.2.3.4/96 trust",
	} {
		f.Add(seed, "alice", "db")
	}
	f.Fuzz(func(t *testing.T, line, user, database string) {
		rules, err := Parse([]string{line})
		var all Errors
		if errors.As(err, &all) {
			if e := all[0]; e.Offset < 0 || e.Offset > len(line) || e.Message == "" {
				t.Errorf("%q: %+v", line, e)
			}
			_ = all.Error()
			return
		}
		if rules.Len() > 1 {
			t.Errorf("%q became %d rules", line, rules.Len())
		}
		for _, facts := range []Facts{{User: user, Database: database}, {User: user, Database: database, TLS: true, Client: addr("10.1.2.3")}, {User: user, Physical: true, Client: addr("fe80::1%x")}} {
			d := Policy{Rules: rules}.Decide(facts)
			if (d.Method == Reject) != (d.Refusal != nil) {
				t.Errorf("%q: %+v", line, d)
			}
		}
	})
}
