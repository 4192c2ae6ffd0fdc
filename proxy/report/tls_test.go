package report

import (
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/handshake/clienttls"
	"github.com/replproxy/replproxy/proxy"
	"github.com/replproxy/replproxy/proxy/admin"
)

func TestSSLRows(t *testing.T) {
	leg := func(dn string) *handshake.SSL { return &handshake.SSL{Version: "TLSv1.3", Bits: 128, PeerDN: dn} }
	sessions := []proxy.SessionInfo{
		{PID: 1, Class: handshake.Regular, SSL: leg("CN=a"), UpstreamSSL: leg("CN=db")},
		{PID: 2, Class: handshake.Regular},
		{PID: 3, Class: handshake.PhysicalWalsender, User: "repl", SSL: leg("")},
		{PID: 4, Class: handshake.Regular, UpstreamSSL: leg("CN=db")},
	}
	var got []string
	for _, r := range sslRows(leg("CN=db"), sessions) {
		got = append(got, strings.Join([]string{string(rune('0' + r.PID)), r.Leg, r.User, r.PeerDN}, " "))
	}
	const want = "0 upstream  CN=db|3 client repl |1 client  CN=a|1 upstream  CN=db|4 upstream  CN=db"
	if all := strings.Join(got, "|"); all != want {
		t.Errorf("%s\nwant %s", all, want)
	}
	if rows := sslRows(nil, nil); rows == nil || len(rows) != 0 {
		t.Errorf("none: %v", rows) // a list in JSON
	}
	many := make([]proxy.SessionInfo, 2*admin.MaxSSL)
	for i := range many {
		many[i].SSL = leg("")
	}
	if n := len(sslRows(nil, many)); n != admin.MaxSSL {
		t.Errorf("%d rows", n)
	}
}

func TestTLSWarnings(t *testing.T) {
	now := time.Unix(1e9, 0)
	for want, s := range map[string]clienttls.Status{
		"":                 {Mode: clienttls.Allow, NotAfter: now.Add(certificateEnds + time.Hour)},
		"stay in use: bad": {Mode: clienttls.Allow, NotAfter: now.Add(certificateEnds + time.Hour), LastError: "bad"},
		"renew":            {Mode: clienttls.Allow, NotAfter: now.Add(certificateEnds - time.Hour)},
	} {
		got := strings.Join(tlsWarnings(s, now), "|")
		if !strings.Contains(got, want) || (got == "") != (want == "") {
			t.Errorf("%+v: %q", s, got)
		}
	}
	if got := tlsWarnings(clienttls.Status{Mode: clienttls.Off}, now); len(got) > 0 {
		t.Errorf("off: %q", got)
	}
}
