package preflight

import (
	"strings"
	"testing"

	"github.com/replproxy/replproxy/handshake"
)

// TestEncryption: only TLS on both legs with two certificates is worth a warning, in check and in run.
func TestEncryption(t *testing.T) {
	ssl := &handshake.SSL{Version: "TLSv1.3", Cipher: "TLS_AES_256_GCM_SHA384", Bits: 256}
	for _, c := range []struct {
		mode, method string
		ssl          *handshake.SSL
		same         bool
		level        Level
		has          string
	}{
		{"off", "relay", nil, false, OK, "in clear to the primary"},
		{"off", "relay", ssl, false, OK, "TLSv1.3 to the primary (TLS_AES_256_GCM_SHA384, 256 bits)"},
		{"require", "relay", nil, false, OK, "mode require to clients"},
		{"allow", "relay", ssl, true, OK, "with the primary's certificate"},
		{"allow", "relay", ssl, false, Warn, "channel_binding=disable"},
		{"require", "scram", ssl, false, OK, "mode require"},
	} {
		s, f := goodSetup(), goodFacts()
		s.TLSMode, s.AuthMethod, f.SSL, f.SameCert = c.mode, c.method, c.ssl, c.same
		got := encryption(s, f)
		if got.Level != c.level || !strings.Contains(got.Text, c.has) || (got.Remedy == "") != (c.level == OK) {
			t.Errorf("%+v: %+v", c, got)
		}
		told := strings.Contains(strings.Join(Advise(s, f, nil), "\n"), "channel_binding")
		if told != (c.level != OK) {
			t.Errorf("%+v: told at start: %v", c, told)
		}
	}
}
