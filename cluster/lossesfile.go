package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/replproxy/replproxy/cluster/loss"
)

// lossesFile has the losses of WAL that are accepted, as JSON after a line that names the format, and the CRC-32C of
// that. Release v0.1.0 leaves it alone.
const (
	lossesFile   = "given-up"
	lossesFormat = "#replproxy-given-up/1\n"
)

func (m memory) losses() (s loss.Set, err error) {
	if m == "" {
		return nil, nil
	}
	path := filepath.Join(string(m), lossesFile)
	body, err := checked(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		text, ok := bytes.CutPrefix(body, []byte(lossesFormat))
		if !ok {
			return nil, fmt.Errorf("%s has another format than %q", path, lossesFormat)
		}
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: which standbys may have WAL that was given up is not known. "+
			"Remove the file when all of them are made anew", err)
	}
	return s, nil
}

func encodeLosses(s loss.Set) ([]byte, error) {
	b, err := json.Marshal(s)
	return seal(append([]byte(lossesFormat), b...)), err
}

// saveLosses makes the losses durable when they have changed; after an error the next call tries again. It blocks for
// the disk. The caller does not hold mu.
func (n *Node) saveLosses() error {
	n.saving.Lock()
	defer n.saving.Unlock()
	n.mu.Lock()
	s := n.losses
	n.mu.Unlock()
	return n.writeLosses(s)
}

// writeLosses makes s durable, if it is not what the disk has. The caller holds saving.
func (n *Node) writeLosses(s loss.Set) error {
	b, err := encodeLosses(s)
	if err != nil || bytes.Equal(b, n.savedLosses) || len(s) == 0 && n.savedLosses == nil {
		return err
	}
	if err := memory(n.o.Dir).write(lossesFile, b); err != nil {
		return fmt.Errorf("remember which WAL was given up: %w", err)
	}
	n.savedLosses = b
	n.mu.Lock()
	defer n.mu.Unlock()
	n.kept = s
	n.statuses.at = time.Time{}
	return nil
}

// keeps reports whether l is on the disk as it is here. The caller holds mu.
func (n *Node) keeps(l loss.Loss) bool {
	return slices.ContainsFunc(n.kept, func(k loss.Loss) bool { return k.ID == l.ID && k.From == l.From })
}
