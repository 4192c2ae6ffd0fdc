package preflight

import (
	"strings"
	"testing"

	"github.com/replproxy/replproxy/handshake"
)

// TestEncryption: TLS on both legs with two certificates is worth a warning, and TLS that ends here before a leg in
// clear to another machine, in check and in run.
func TestEncryption(t *testing.T) {
	ssl := &handshake.SSL{Version: "TLSv1.3", Cipher: "TLS_AES_256_GCM_SHA384", Bits: 256}
	for _, c := range []struct {
		mode, method string
		ssl          *handshake.SSL
		same, far    bool // one certificate; a primary that is not on this machine
		level        Level
		has          string
	}{
		{"off", "relay", nil, false, true, OK, "in clear to the primary"},
		{"require", "relay", nil, false, true, Warn, "goes on in clear to db1:5432"},
		{"allow", "scram", nil, false, true, Warn, "goes on in clear"},
		{"require", "scram", ssl, false, true, OK, "TLSv1.3"},
		{"off", "relay", ssl, false, false, OK, "TLSv1.3 to the primary (TLS_AES_256_GCM_SHA384, 256 bits)"},
		{"require", "relay", nil, false, false, OK, "mode require to clients"},
		{"allow", "relay", ssl, true, false, OK, "with the primary's certificate"},
		{"allow", "relay", ssl, false, false, Warn, "channel_binding=disable"},
		{"require", "scram", ssl, false, false, OK, "mode require"},
	} {
		s, f := goodSetup(), goodFacts()
		s.TLSMode, s.AuthMethod, f.SSL, f.SameCert, f.Local = c.mode, c.method, c.ssl, c.same, !c.far
		got := encryption(s, f)
		if got.Level != c.level || !strings.Contains(got.Text, c.has) || (got.Remedy == "") != (c.level == OK) {
			t.Errorf("%+v: %+v", c, got)
		}
		told := strings.Contains(strings.Join(Advise(s, f, nil), "\n"), c.has)
		if told != (c.level != OK) {
			t.Errorf("%+v: told at start: %v", c, told)
		}
	}
}
