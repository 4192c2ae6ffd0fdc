package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/cluster/identity"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/internal/durable"
	"github.com/replproxy/replproxy/proxy/config"
)

// unprovenFile lists in [clusterDir] the questions that are open before a new data_dir counts as one. It may be the
// empty directory below a volume that is not mounted. Without the file no question is open.
const unprovenFile = "unproven"

// The words of unprovenFile.
const (
	asksSlot    = "slot"    // whether the primary has this proxy's slot
	asksMembers = "members" // whether other members know this proxy's name
	asksLosses  = "losses"  // which WAL was given up, as far as other members know
)

// newStore holds the questions of a data_dir that knows of no earlier life. Methods may be called from any goroutine.
type newStore struct {
	dir, slot string
	log       *slog.Logger
	refused   chan error // one slot: why the process must end
	// holder is the process on the primary that has the slot, 0: none, or it is not known. It blocks. Set it before the
	// slot is asked for; nil: it is not known.
	holder func() int32

	mu    sync.Mutex // held while a file is written
	name  *slotName
	words []string
}

// openNewStore looks whether the data directory, which exists, is a new one, and notes that durably before anything
// else is written there. insist is the operator's word that a new store is meant.
func openNewStore(c *config.Config, insist bool, log *slog.Logger) (*newStore, error) {
	n := &newStore{dir: c.DataDir, slot: c.SlotName(), log: log, refused: make(chan error, 1)}
	words, err := n.read()
	if err != nil {
		return nil, err
	}
	n.name = openSlotName(c.DataDir, n.slot, log)
	isNew := len(words) > 0
	words = slices.DeleteFunc(words, func(w string) bool {
		return w == asksSlot && n.slot == "" || w != asksSlot && !hasOthers(c)
	})
	if insist && slices.Contains(words, asksSlot) {
		log.Warn("a new store is begun, as the operator says", "data_dir", c.DataDir)
		words = slices.DeleteFunc(words, func(w string) bool { return w == asksSlot })
	} else if insist && !isNew {
		log.Warn("--new-store has no effect: data_dir has a store; leave it out of scripts and units, or an empty "+
			"data_dir will be taken for a new one without a word", "data_dir", c.DataDir)
	}
	return n, n.write(words)
}

// read returns the open questions, by the file or by what there is.
func (n *newStore) read() ([]string, error) {
	text, err := os.ReadFile(n.path())
	if err == nil {
		return strings.Fields(string(text)), nil
	}
	remembers, err2 := cluster.Remembers(clusterDir(n.dir))
	if !errors.Is(err, fs.ErrNotExist) || err2 != nil || remembers {
		return nil, errors.Join(ignore(err, fs.ErrNotExist), err2)
	}
	known, err := walstore.Exists(n.dir)
	if known || err != nil {
		return []string{asksMembers, asksLosses}, err
	}
	return []string{asksSlot, asksMembers, asksLosses}, nil
}

// isNewStore reports whether run would ask for --new-store where the primary has this proxy's slot. A directory that
// can't be read is judged elsewhere.
func isNewStore(c *config.Config) bool {
	words, err := (&newStore{dir: c.DataDir}).read()
	return err == nil && slices.Contains(words, asksSlot)
}

// hasOthers reports whether there are other members to be asked.
func hasOthers(c *config.Config) bool {
	return c.Cluster.Bind != "" && slices.ContainsFunc(memberNames(c), func(name string) bool { return name != c.Name })
}

func ignore(err, what error) error {
	if errors.Is(err, what) {
		return nil
	}
	return err
}

func (n *newStore) path() string { return filepath.Join(clusterDir(n.dir), unprovenFile) }

// write makes words durable, none by removing the file. The caller holds mu, or is alone.
func (n *newStore) write(words []string) (err error) {
	switch {
	case len(words) > 0:
		if err = durable.MakeDir(clusterDir(n.dir)); err == nil {
			err = durable.WriteFile(durable.OS{}, n.path(), []byte(strings.Join(words, "\n")+"\n"))
		}
	default:
		if err = ignore(os.Remove(n.path()), fs.ErrNotExist); err == nil && len(n.words) > 0 {
			err = durable.OS{}.SyncDir(clusterDir(n.dir))
		}
	}
	if err != nil {
		return fmt.Errorf("note whether data_dir is a new one: %w", err)
	}
	n.words = words
	return nil
}

// asks reports whether a word is still to be asked.
func (n *newStore) asks(word string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Contains(n.words, word)
}

// answered makes durable that a question has its answer.
func (n *newStore) answered(word string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !slices.Contains(n.words, word) {
		return nil
	}
	rest := slices.DeleteFunc(slices.Clone(n.words), func(w string) bool { return w == word })
	return n.write(rest)
}

// mayUse is told whether the primary has this proxy's slot, before it is made or used. An error forbids both, and
// ends the process: the slot is that of a store which is elsewhere.
func (n *newStore) mayUse(exists bool) error {
	if exists && n.asks(asksSlot) {
		active := ""
		if n.holder != nil {
			if pid := n.holder(); pid != 0 {
				active = fmt.Sprintf(" (it is active there for PID %d)", pid)
			}
		}
		return n.refuse(fmt.Errorf("data_dir %s is new, and the primary has the slot %q of an earlier store of this "+
			"proxy: is the volume of data_dir mounted, or does another proxy have this name (upstream.slot)%s? If a "+
			"new store is meant, say --new-store once, and rebuild the standbys and slots that need older WAL",
			n.dir, n.slot, active))
	}
	if err := n.answered(asksSlot); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.name.used()
	return nil
}

// refuse ends the process with exit code 2, and returns why.
func (n *newStore) refuse(err error) error {
	select {
	case n.refused <- UnusableError{err}:
	default:
	}
	return err
}

// Run ends with why the store must not be used.
func (n *newStore) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case err := <-n.refused:
		return err
	}
}

// refuseKeyless refuses a cluster's member without a key here while cluster.members has a key of its name. With the key
// its fence and its rule are gone. It must be called before anything is written.
func refuseKeyless(c *config.Config) error {
	if c.Cluster.Bind == "" {
		return nil
	}
	m, err := identity.ParseMembers(c.Cluster.Members)
	if err != nil || !m.Has(c.Name) {
		return nil // said later, or not a member yet: its line will be printed
	}
	has, err := identity.Exists(clusterDir(c.DataDir))
	if err != nil || has {
		return nil
	}
	err = fmt.Errorf("%s has no key, and cluster.members has one of %q: is its volume mounted? In a cluster a new "+
		"store needs a new name (docs/runbook.md, A new store)", c.DataDir, c.Name)
	return UnusableError{fmt.Errorf("unusable configuration\n%w", c.At("data_dir", err))}
}
