package roles

import (
	"crypto/hmac"
	"crypto/sha256"
	"path/filepath"

	"github.com/replproxy/replproxy/handshake/scramauth"
	"github.com/replproxy/replproxy/internal/keyfile"
)

// The salts of unknown roles are made of a secret that is the same at all proxies. Otherwise two of them would tell
// which roles there are, since for a role both show the primary's salt. It is derived once of what they share, and
// kept.
const (
	// clusterFile has the secret derived from the cluster's key. ownFile has the one derived from the verifier of the
	// role by which the proxy logs in. Each proxy that logs in as it can ask for that, even with a new data directory.
	// mockFile, which the first release knows, has this proxy's own secret for as long as there is nothing better.
	clusterFile = "mock_cluster"
	ownFile     = "mock_shared"
	// sharedLabel keeps this use of a secret apart from other uses of the same one.
	sharedLabel = "replproxy: salts of unknown roles"
)

// derive makes the secret of unknown roles of one that all proxies have and nobody else.
func derive(secret []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(sharedLabel))
	return h.Sum(nil)
}

// openMock finds the secret of unknown roles, or makes it; final: nothing better is to come. cluster is the secret that
// members share, empty without a cluster.
func openMock(dir string, cluster []byte) (mock []byte, final bool, err error) {
	name := ownFile
	if len(cluster) > 0 {
		name = clusterFile
	}
	b, err := keyfile.ReadPasswords(filepath.Join(dir, name))
	if err == nil && len(b) == secretSize {
		return b, true, nil
	}
	if len(cluster) > 0 {
		mock = derive(cluster)
		return mock, true, write(dir, name, mock)
	}
	mock, err = secret(dir)
	return mock, false, err
}

// shareOwn derives the secret of the verifier of the proxy's own role, if it has one, and keeps it. It is tried once
// after each start.
func (k *Lookup) shareOwn(own Role, known bool) {
	var mock []byte
	if v, err := scramauth.ParseVerifier(string(own.Secret)); known && err == nil {
		mock = derive(append(v.StoredKey[:], v.ServerKey[:]...))
		if err := write(k.o.Dir, ownFile, mock); err != nil {
			k.log.Error("the secret of unknown roles could not be kept", "err", err)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.mockFinal = true; mock != nil {
		k.mock = mock
	}
}
