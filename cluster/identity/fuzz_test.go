package identity

import (
	"crypto/ed25519"
	"strings"
	"testing"
)

// FuzzMembers reads lines of cluster.members: who is accepted has a name that rules can say and a whole key, and
// no key is two members'.
func FuzzMembers(f *testing.F) {
	f.Add("proxy_a ed25519:TV9bxIVTK/VkBNpZNkawmYTFgMyrYE3ae2rsRylcsQA=")
	f.Add("a ed25519:TV9bxIVTK/VkBNpZNkawmYTFgMyrYE3ae2rsRylcsQA=\nb ed25519:TV9bxIVTK/VkBNpZNkawmYTFgMyrYE3ae2rsRylcsQA=")
	f.Add("a rsa:x")
	f.Add("A b c")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ParseMembers(strings.Split(text, "\n"))
		if err != nil {
			return
		}
		keys := map[string]bool{}
		for _, name := range m.Names() {
			if err := ValidName(name); err != nil || !m.Has(name) {
				t.Fatal(name, err)
			}
			for _, k := range m.keys[name] {
				if len(k) != ed25519.PublicKeySize || keys[string(k)] {
					t.Fatalf("key %x of %s", k, name)
				}
				keys[string(k)] = true
			}
		}
	})
}
