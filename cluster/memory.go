package cluster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/replproxy/replproxy/cluster/vote"
)

// memoryFile is what a node must know again after a crash: its boot number, its promise not to vote
// (ruling R2) and its rule (ruling R9). It is a vote.State without sessions and the CRC-32C of that.
const memoryFile = "node"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// memory is a directory with a memoryFile; "" remembers nothing.
type memory string

// load is the remembered state; the zero State when there is none. Damage is an error: a node that has
// forgotten its promise must not vote.
func (m memory) load() (s vote.State, err error) {
	if m == "" {
		return s, nil
	}
	path := filepath.Join(string(m), memoryFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	body, sum := b[:max(0, len(b)-4)], b[max(0, len(b)-4):]
	if len(sum) < 4 || binary.BigEndian.Uint32(sum) != crc32.Checksum(body, castagnoli) {
		return s, fmt.Errorf("%s is damaged: what this node has promised is not known. Remove the file only when "+
			"no promotion relies on a fence here", path)
	}
	v, err := vote.Decode(body)
	if err != nil {
		return s, fmt.Errorf("read %s: %w", path, err)
	}
	s, ok := v.(vote.State)
	if !ok {
		return s, fmt.Errorf("%s holds something else", path)
	}
	return s, nil
}

// encode is a state as it is saved, and as it is compared.
func encode(s vote.State) ([]byte, error) {
	s.Seq, s.Upstream, s.Sessions = 0, false, nil
	b, err := vote.AppendState(nil, s)
	if err != nil {
		return nil, err
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)), nil
}

// save makes b durable before it returns.
func (m memory) save(b []byte) error {
	if m == "" {
		return nil
	}
	dir := string(m)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	next := filepath.Join(dir, memoryFile+".new")
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = bytes.NewReader(b).WriteTo(f)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(next, filepath.Join(dir, memoryFile))
	}
	if err != nil {
		return err
	}
	return errors.Join(syncDir(dir), syncDir(filepath.Dir(dir)))
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
