package gossip

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/hashicorp/memberlist"

	"github.com/replproxy/replproxy/cluster/identity"
)

// maxKeys bounds a key file: a rotation needs two.
const maxKeys = 16

// Keys are the shared keys of the packets: the first encrypts, all decrypt. A rotation adds the new
// key as the second everywhere, then makes it the first everywhere, then takes the old one away.
type Keys struct {
	path string

	mu   sync.Mutex
	keys [][]byte
	live *memberlist.Keyring
}

// ReadKeys reads a file of base64 keys of 16, 24 or 32 bytes, one a line; # begins a comment. The file
// must be its owner's alone.
func ReadKeys(path string) (*Keys, error) {
	k := &Keys{path: path}
	keys, err := k.read()
	if err != nil {
		return nil, err
	}
	k.keys = keys
	return k, nil
}

func (k *Keys) read() ([][]byte, error) {
	b, err := identity.ReadSecret(k.path)
	if err != nil {
		return nil, fmt.Errorf("cluster.key_file: %w", err)
	}
	var keys [][]byte
	lines := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; lines.Scan(); n++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		key, err := base64.StdEncoding.DecodeString(line)
		if err == nil {
			err = memberlist.ValidateKey(key)
		}
		if err != nil { // without the content, which is secret
			return nil, fmt.Errorf("cluster.key_file %s, line %d: not 16, 24 or 32 bytes in base64 (make one by "+
				"`openssl rand -base64 32`)", k.path, n)
		}
		keys = append(keys, key)
	}
	switch {
	case lines.Err() != nil:
		return nil, fmt.Errorf("cluster.key_file %s: %w", k.path, lines.Err())
	case len(keys) == 0:
		return nil, fmt.Errorf("cluster.key_file %s: no key in it", k.path)
	case len(keys) > maxKeys:
		return nil, fmt.Errorf("cluster.key_file %s: %d keys, at most %d", k.path, len(keys), maxKeys)
	}
	return keys, nil
}

// ring returns a keyring with the present keys.
func (k *Keys) ring() *memberlist.Keyring {
	k.mu.Lock()
	defer k.mu.Unlock()
	r, err := memberlist.NewKeyring(k.keys, k.keys[0])
	if err != nil {
		panic(err) // the keys were validated when they were read
	}
	return r
}

// First returns the key that encrypts. It must not be changed.
func (k *Keys) First() []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keys[0]
}

// attach lets Reload change a running keyring.
func (k *Keys) attach(r *memberlist.Keyring) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.live = r
}

// Reload reads the file again. On an error nothing changes.
func (k *Keys) Reload() error {
	keys, err := k.read()
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys = keys
	if k.live == nil {
		return nil
	}
	var errs []error
	for _, key := range keys {
		errs = append(errs, k.live.AddKey(key))
	}
	errs = append(errs, k.live.UseKey(keys[0]))
	for _, old := range k.live.GetKeys() {
		if !contains(keys, old) {
			errs = append(errs, k.live.RemoveKey(old))
		}
	}
	return errors.Join(errs...)
}

func contains(keys [][]byte, key []byte) bool {
	for _, k := range keys {
		if bytes.Equal(k, key) {
			return true
		}
	}
	return false
}
