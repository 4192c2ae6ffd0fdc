package scramauth

import (
	"crypto/hmac"
	"crypto/sha256"
)

// Mock returns the verifier of a role that cannot log in; a client can't tell it from a real one. secret belongs to
// this proxy, so that a name's salt is the same each time and nobody's guess.
func Mock(secret []byte, user string, iterations int) Verifier {
	return Verifier{Iterations: iterations, Salt: mac(secret, user)[:saltSize]}
}

func mac(key []byte, parts ...string) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write([]byte(p))
	}
	return h.Sum(nil)
}

// keyMAC returns HMAC over the three messages of an exchange, joined as RFC 5802 joins them.
func keyMAC(k Key, clientFirstBare, serverFirst, clientFinalBare string) (out Key) {
	copy(out[:], mac(k[:], clientFirstBare, ",", serverFirst, ",", clientFinalBare))
	return out
}

func xor(a, b Key) (out Key) {
	for i := range a {
		out[i] = a[i] ^ b[i]
	}
	return out
}
