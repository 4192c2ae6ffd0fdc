package upstream

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParseConninfo(t *testing.T) {
	for _, c := range []struct {
		in   string
		want settings
	}{
		{"", settings{}},
		{"  \t\n", settings{}},
		{"host=db1 port = 5433", settings{"host": "db1", "port": "5433"}},
		{`password='it''`, nil},
		{`password='it\'s' user=a\ b`, settings{"password": "it's", "user": "a b"}},
		{`host=''`, settings{"host": ""}},
		{`host=a\`, settings{"host": "a"}},
		{"host=a host=b", settings{"host": "b"}},
		{"host", nil},
		{"ho st=a", nil},
		{"=a", nil},
		{"host='a", nil},
		{"host=a\x00b", nil},
		{"postgres://", settings{}},
		{"postgresql://u:p%40w@db1:5433/app?sslmode=disable&connect_timeout=3",
			settings{"user": "u", "password": "p@w", "host": "db1", "port": "5433", "dbname": "app",
				"sslmode": "disable", "connect_timeout": "3"}},
		{"postgres://db1,db2:5433/", settings{"host": "db1,db2", "port": ",5433"}},
		{"postgres://[::1]:5433,[fe80::1]/x", settings{"host": "::1,fe80::1", "port": "5433,", "dbname": "x"}},
		{"postgres://%2Fvar%2Frun/db", settings{"host": "/var/run", "dbname": "db"}},
		{"postgres:///db?host=/tmp", settings{"dbname": "db", "host": "/tmp"}},
		{"postgres://u:a?b@h/d", settings{"user": "u", "password": "a?b", "host": "h", "dbname": "d"}},
		{"postgres://h?ssl=true", settings{"host": "h", "sslmode": "require"}},
		{"postgres://h?sslmode", nil},
		{"postgres://h?a=b=c", nil},
		{"postgres://h/%zz", nil},
		{"postgres://h/%0", nil},
		{"postgres://h/%00", nil},
		{"postgres://[::1/x", nil},
		{"postgres://[]/x", nil},
		{"postgres://[::1]x/", nil},
	} {
		got, err := parseConninfo(c.in)
		switch {
		case c.want == nil && err == nil:
			t.Errorf("%q: got %v, expected an error", c.in, got)
		case c.want != nil && (err != nil || !maps.Equal(got, c.want)):
			t.Errorf("%q: got %v, %v, expected %v", c.in, got, err, c.want)
		}
	}
}

func TestPasswordIsNeverShown(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	const secret = "S3cr3t=Pw"
	for _, in := range []string{
		"password=" + secret + " host",
		"password=" + secret + " port=nonsense",
		"password=" + secret + " host=h sslmode=never",
		"password=" + secret + " host=h sslrootcert=/does/not/exist",
		"password=" + secret + " replication=true",
		"password=" + secret + " nosuchoption=1",
		"password=" + secret + " target_session_attrs=best",
		"password='" + secret,
		"host=h " + secret + "=x",
		"host=h password " + secret,
		"postgres://u:" + secret + "%zz@h/db",
		"postgres://u:" + secret + "@h:notaport/db",
		"postgres://u@h:" + secret + "/db",
		"postgres://u@h/db?" + secret,
		"postgres://h/db?password=" + secret,
		"postgres://h/db?" + secret + "=1",
	} {
		_, err := Parse(in)
		if err == nil {
			t.Errorf("%q: no error", in)
			continue
		}
		if text := err.Error(); strings.Contains(text, secret) || strings.Contains(text, "S3cr3t") {
			t.Errorf("the error shows the password: %s", text)
		}
	}
}

func TestKeywords(t *testing.T) {
	for in, want := range map[string]string{ // "" accepted, else a piece of the refusal
		"gssencmode=disable":                  "",
		"gssencmode=require":                  "gssencmode=require is not accepted",
		"sslcrl=/x":                           "certificate revocation list",
		"sslcrl=''":                           "",
		"load_balance_hosts=disable":          "",
		"load_balance_hosts=random":           "load_balance_hosts=random",
		"requirepeer=postgres":                "requirepeer",
		"replication=database":                `"replication" is not accepted`,
		"ssl_min_protocol_version=TLSv1.3":    "",
		"ssl_min_protocol_version=SSLv3":      "ssl_min_protocol_version",
		"keepalives=0 keepalives_idle=30":     "",
		"keepalives_count=many":               "keepalives_count",
		"tcp_user_timeout=3000":               "",
		"application_name=x options=-cx":      "",
		"hostaddr=10.0.0.1 host=a":            "",
		"hostaddr=10.0.0.1,10.0.0.2 host=a":   "hostaddr",
		"hostaddr=db1 host=a":                 "not an IP address",
		"hostaddr=10.0.0.1":                   "",
		"statement_timeout=5":                 `invalid connection option "statement_timeout"`,
		"host=a,b port=1,2,3":                 "port",
		"port=0":                              "port",
		"target_session_attrs=primary":        "",
		"target_session_attrs=master":         "target_session_attrs",
		"connect_timeout=-1":                  "connect_timeout",
		"channel_binding=maybe":               "channel_binding",
		"require_auth=nothing":                "require_auth",
		"min_protocol_version=4":              "min_protocol_version",
		"sslnegotiation=direct":               "weak sslmode",
		"service=nosuch servicefile=/no/such": "service file",
	} {
		t.Setenv("HOME", t.TempDir())
		c, err := Parse(in)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", in, err)
		case want != "" && err == nil:
			t.Errorf("%s: accepted", in)
		case want != "" && !strings.Contains(err.Error(), want):
			t.Errorf("%s: %v, expected %q in it", in, err, want)
		case err == nil:
			for name := range c.last.Load().base.RuntimeParams {
				if name != "application_name" && name != "options" && name != "client_encoding" {
					t.Errorf("%s: %q would travel to the server as a setting", in, name)
				}
			}
		}
	}
}

func TestEnvironmentAndServiceFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "services")
	text := "[db]\nhost=from-service\nport=6000\nhostaddr=10.1.1.1\nkeepalives=0\n[bad]\nreplication=on\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", dir)
	t.Setenv("PGSERVICEFILE", file)
	t.Setenv("PGSERVICE", "db")
	t.Setenv("PGPORT", "7000")
	t.Setenv("PGUSER", "from-env")
	t.Setenv("PGTZ", "UTC")
	c, err := Parse("dbname=app")
	if err != nil {
		t.Fatal(err)
	}
	e := c.Endpoints()[0]
	if e.Host != "from-service" || e.Port != 6000 || e.Addr != "10.1.1.1:6000" || c.User() != "from-env" ||
		c.Database() != "app" || !c.last.Load().dial.tcp.NoKeepAlive || len(c.last.Load().base.RuntimeParams) != 0 {
		t.Errorf("endpoint %+v, %s, settings %v", e, c, c.last.Load().base.RuntimeParams)
	}
	if _, err := Parse("service=bad"); err == nil || !strings.Contains(err.Error(), `"replication"`) {
		t.Errorf("a service file may not set replication: %v", err)
	}
	if _, err := Parse("service=absent"); err == nil || !strings.Contains(err.Error(), `"absent"`) {
		t.Errorf("absent service: %v", err)
	}
}

func TestEndpoints(t *testing.T) {
	for _, c := range []struct {
		in   string
		want string
	}{
		{"host=a", "a:5432+tls a:5432"},
		{"host=a sslmode=allow", "a:5432 a:5432+tls"},
		{"host=a sslmode=disable", "a:5432"},
		{"host=a,b port=1,2 sslmode=require", "a:1+tls b:2+tls"},
		{"host=a,a", "a:5432+tls a:5432 a:5432+tls a:5432"},
		{"host=/run port=3", "/run/.s.PGSQL.3"},
		{"host=/run,b sslmode=prefer", "/run/.s.PGSQL.5432 b:5432+tls b:5432"},
		{"postgres://[::1]:7/", "[::1]:7+tls [::1]:7"},
		{"hostaddr=::1,10.0.0.1 host=a,a sslmode=prefer",
			"a:5432@[::1]:5432+tls a:5432@[::1]:5432 a:5432@10.0.0.1:5432+tls a:5432@10.0.0.1:5432"},
	} {
		var got []string
		for _, e := range config(t, c.in).Endpoints() {
			s := e.String()
			if e.Addr != "" {
				s += "@" + e.Addr
			}
			if e.TLS() {
				s += "+tls"
			}
			got = append(got, s)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %s, expected %s", c.in, s, c.want)
		}
	}
}

func TestSessionAttrs(t *testing.T) {
	if a := config(t, "host=a").last.Load().attrs; a != attrsAny {
		t.Errorf("one host: %s", a)
	}
	if a := config(t, "host=a,b").last.Load().attrs; a != attrsPrimary {
		t.Errorf("two hosts: %s", a)
	}
	if a := config(t, "host=a,b target_session_attrs=any").last.Load().attrs; a != attrsAny {
		t.Errorf("two hosts, any: %s", a)
	}
	type server struct{ standby, readOnly string }
	primary, readOnly, standby, old := server{"off", "off"}, server{"off", "on"}, server{"on", "off"}, server{}
	for _, c := range []struct {
		attrs sessionAttrs
		on    server
		want  error
	}{
		{attrsAny, standby, nil}, {attrsAny, old, nil},
		{attrsPrimary, primary, nil}, {attrsPrimary, readOnly, nil}, {attrsPrimary, standby, ErrStandby},
		{attrsPrimary, old, ErrNoRole},
		{attrsStandby, standby, nil}, {attrsStandby, primary, ErrNotStandby},
		{attrsPreferStandby, standby, nil}, {attrsPreferStandby, primary, ErrNotStandby},
		{attrsReadWrite, primary, nil}, {attrsReadWrite, readOnly, ErrReadOnly}, {attrsReadWrite, standby, ErrReadOnly},
		{attrsReadOnly, standby, nil}, {attrsReadOnly, readOnly, nil}, {attrsReadOnly, primary, ErrReadWrite},
	} {
		got := c.attrs.judge(func(name string) string {
			return map[string]string{"in_hot_standby": c.on.standby, "default_transaction_read_only": c.on.readOnly}[name]
		})
		if got != c.want {
			t.Errorf("%s on %+v: %v, expected %v", c.attrs, c.on, got, c.want)
		}
	}
}

func TestTimeouts(t *testing.T) {
	if d := config(t, "host=a").ConnectTimeout(); d != DefaultConnectTimeout {
		t.Errorf("default: %s", d)
	}
	if d := config(t, "host=a connect_timeout=0").ConnectTimeout(); d != DefaultConnectTimeout {
		t.Errorf("0: %s", d)
	}
	if d := config(t, "host=a connect_timeout=3").ConnectTimeout(); d != 3*time.Second {
		t.Errorf("3: %s", d)
	}
}

func FuzzParseConninfo(f *testing.F) {
	for _, s := range []string{"", "host=a port=1", `password='a\'b'`, "postgres://u:p@h:1,[::1]:2/d?sslmode=disable&x=y",
		"postgresql://%41@/", "host='", "a=\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseConninfo(text)
		if err != nil {
			return
		}
		var names []string
		for name := range s {
			names = append(names, name)
			if name == "" {
				t.Fatalf("empty keyword from %q", text)
			}
		}
		for _, n := range names { // what render writes, parse reads
			if strings.ContainsAny(n, "= \t\n\v\f\r'\\\x00") {
				return // only a URI can say such a name, and check refuses it
			}
		}
		again, err := parseKeywords(s.render(names))
		if err != nil || !maps.Equal(again, s) {
			t.Fatalf("%q: %v became %v, %v", text, s, again, err)
		}
	})
}
