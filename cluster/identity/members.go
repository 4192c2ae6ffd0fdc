package identity

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

const (
	// MaxMembers bounds a cluster: each proxy keeps a connection to each other one.
	MaxMembers = 64
	// maxName is PostgreSQL's limit of an identifier, since names stand in rules.
	maxName = 63
)

// Members are the proxies of a cluster, by name, each with the public keys that it may use. Several
// keys of one name let a key be replaced without a moment in which neither counts.
type Members struct {
	keys map[string][]ed25519.PublicKey
}

// ParseMembers reads lines of cluster.members: a name, blank space, a public key. A name may come again, with another
// key of its. An error names the line. No lines give no members.
func ParseMembers(lines []string) (*Members, error) {
	m := &Members{keys: map[string][]ed25519.PublicKey{}}
	for _, line := range lines {
		f := strings.Fields(line)
		if len(f) != 2 {
			return nil, fmt.Errorf("cluster member %q: want a name and a public key, as `replproxy identity` prints",
				line)
		}
		if err := ValidName(f[0]); err != nil {
			return nil, fmt.Errorf("cluster member %q: %w", line, err)
		}
		key, err := parseKey(f[1])
		if err != nil {
			return nil, fmt.Errorf("cluster member %q: %w", f[0], err)
		}
		if owner, taken := m.owner(key); taken {
			return nil, fmt.Errorf("cluster members %q and %q have the same public key", owner, f[0])
		}
		m.keys[f[0]] = append(m.keys[f[0]], key)
	}
	if len(m.keys) > MaxMembers {
		return nil, fmt.Errorf("%d cluster members, at most %d are supported", len(m.keys), MaxMembers)
	}
	return m, nil
}

// ValidName returns nil for a node name: a plain identifier in lower case, so that rules name it without quotes (R23).
// The error says what is wrong with it.
func ValidName(name string) error {
	switch {
	case name == "":
		return errors.New("empty name")
	case len(name) > maxName:
		return fmt.Errorf("name %q is longer than %d bytes", name, maxName)
	}
	for i, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c == '_'
		if !letter && (i == 0 || !(c >= '0' && c <= '9' || c == '$')) {
			return fmt.Errorf("name %q is not a plain lower-case identifier (letters, digits, _), as clusters need",
				name)
		}
	}
	return nil
}

// Names returns all members, sorted.
func (m *Members) Names() []string {
	names := make([]string, 0, len(m.keys))
	for n := range m.keys {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Has reports whether name is a member.
func (m *Members) Has(name string) bool { return len(m.keys[name]) > 0 }

// Key returns a short name of a member's public keys, which no other keys have; "": there is no such member.
func (m *Members) Key(name string) string {
	h := sha256.New()
	for _, k := range m.keys[name] {
		h.Write(k)
	}
	if !m.Has(name) {
		return ""
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// owner returns the member with this public key; false: it is nobody's.
func (m *Members) owner(key ed25519.PublicKey) (string, bool) {
	for name, keys := range m.keys {
		for _, k := range keys {
			if k.Equal(key) {
				return name, true
			}
		}
	}
	return "", false
}

// Check holds a node to the list: with others configured, it must be in it with its own key, so that
// all proxies can be given the same list.
func (m *Members) Check(n *Node) error {
	owner, ok := m.owner(n.key.Public().(ed25519.PublicKey))
	switch {
	case ok && owner == n.Name:
		return nil
	case ok:
		return fmt.Errorf("this proxy is named %q, but its key is that of cluster member %q", n.Name, owner)
	case m.Has(n.Name):
		return fmt.Errorf("cluster member %q has another public key than this proxy: want %q", n.Name, n.Line())
	}
	return fmt.Errorf("this proxy is no cluster member: add %q", n.Line())
}
