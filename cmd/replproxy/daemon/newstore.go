package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/cluster/identity"
	"github.com/replproxy/replproxy/cluster/newstore"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/internal/durable"
	"github.com/replproxy/replproxy/proxy/config"
)

// unprovenFile lists in [clusterDir] the questions that are open before a new data_dir counts as one. It may be the
// empty directory below a volume that is not mounted. Without the file no question is open.
const unprovenFile = "unproven"

// newStore holds the questions of a data_dir that knows of no earlier life. Methods may be called from any goroutine.
// Make it with openNewStore.
type newStore struct {
	dir, slot string
	log       *slog.Logger
	refused   chan error // one error: why the process must end
	// holder returns the process on the primary that has the slot, 0: none, or it is not known. It blocks. Set it
	// before the slot is asked for.
	holder func() int32

	mu   sync.Mutex // held while a file is written
	name *slotName
	open newstore.Questions
}

// openNewStore looks whether the data directory, which exists, is a new one, and notes that durably before anything
// else is written there. insist is the operator's word that a new store is meant.
func openNewStore(c *config.Config, insist bool, log *slog.Logger) (*newStore, error) {
	n := &newStore{dir: c.DataDir, slot: c.SlotName(), log: log, refused: make(chan error, 1)}
	found, err := n.read()
	if err != nil {
		return nil, err
	}
	n.name = openSlotName(c.DataDir, n.slot, log)
	open, advice := found.Begin(n.slot != "", hasOthers(c), insist)
	switch advice {
	case newstore.Begun:
		log.Warn("a new store is begun, as the operator says", "data_dir", c.DataDir)
	case newstore.Useless:
		log.Warn("--new-store has no effect: data_dir has a store; leave it out of scripts and units, or an empty "+
			"data_dir will be taken for a new one without a word", "data_dir", c.DataDir)
	}
	return n, n.write(open)
}

// read returns the open questions, by the file or, where there is none, by what data_dir holds. An error is of the
// disk: nothing is known then.
func (n *newStore) read() (newstore.Questions, error) {
	text, err := os.ReadFile(n.path())
	if err == nil {
		return newstore.Parse(string(text)), nil
	}
	remembers, err2 := cluster.Remembers(clusterDir(n.dir))
	if !errors.Is(err, fs.ErrNotExist) || err2 != nil {
		return nil, errors.Join(ignore(err, fs.ErrNotExist), err2)
	}
	store, err := walstore.Exists(n.dir)
	return newstore.Of(remembers, store || err != nil), err
}

// isNewStore reports whether run would ask for --new-store where the primary has this proxy's slot. A directory that
// can't be read is judged elsewhere.
func isNewStore(c *config.Config) bool {
	open, err := (&newStore{dir: c.DataDir}).read()
	return err == nil && open.Has(newstore.Slot)
}

// hasOthers reports whether there are other members to be asked.
func hasOthers(c *config.Config) bool {
	return len(OtherMembers(c)) > 0
}

func ignore(err, what error) error {
	if errors.Is(err, what) {
		return nil
	}
	return err
}

func (n *newStore) path() string { return filepath.Join(clusterDir(n.dir), unprovenFile) }

// write makes the open questions durable, none by removing the file. The caller holds mu, or is alone.
func (n *newStore) write(open newstore.Questions) (err error) {
	switch {
	case len(open) > 0:
		if err = durable.MakeDir(clusterDir(n.dir)); err == nil {
			err = durable.WriteFile(durable.OS{}, n.path(), []byte(open.String()))
		}
	default:
		if err = ignore(os.Remove(n.path()), fs.ErrNotExist); err == nil && len(n.open) > 0 {
			err = durable.OS{}.SyncDir(clusterDir(n.dir))
		}
	}
	if err != nil {
		return fmt.Errorf("note whether data_dir is a new one: %w", err)
	}
	n.open = open
	return nil
}

// asks reports whether a question is open.
func (n *newStore) asks(x newstore.Question) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.open.Has(x)
}

// answered makes durable that a question has its answer, and does nothing when it was not open. It waits for the disk;
// after an error the question stays open. Any goroutine may call it.
func (n *newStore) answered(x newstore.Question) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.open.Has(x) {
		return nil
	}
	return n.write(n.open.Answered(x))
}

// mayUse takes whether the primary has this proxy's slot, before that is made or used. An error forbids both, and ends
// the process: the slot is that of a store which is elsewhere.
func (n *newStore) mayUse(exists bool) error {
	n.mu.Lock()
	open := n.open
	n.mu.Unlock()
	if err := open.MayUse(exists, n.dir, n.slot, n.holder); err != nil {
		return n.refuse(err)
	}
	if err := n.answered(newstore.Slot); err != nil {
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

// Run blocks until ctx ends, or until it turns out that the store must not be used. It returns why.
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
	if err != nil {
		return nil // said later
	}
	has, err := identity.Exists(clusterDir(c.DataDir))
	if err = newstore.Keyless(m.Has(c.Name), has || err != nil, c.DataDir, c.Name); err == nil {
		return nil
	}
	return UnusableError{fmt.Errorf("unusable configuration\n%w", c.At("data_dir", err))}
}
