package daemon

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/internal/durable"
)

// slotFile in [clusterDir] has the name of the slot on the primary that this data_dir used last.
const slotFile = "slot"

// slotName remembers under which name the proxy had its slot. Without a file nothing is known: the name was the same.
// Make it with openSlotName.
type slotName struct {
	path, now string
	earlier   string // "": the same, or not known
	saved     bool
	log       *slog.Logger
}

// openSlotName reads the name. It only explains: what can't be read is not known.
func openSlotName(dataDir, now string, log *slog.Logger) *slotName {
	n := &slotName{path: filepath.Join(clusterDir(dataDir), slotFile), now: now, log: log}
	text, err := os.ReadFile(n.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn("the name of the slot used before is not known", "err", err)
	}
	was := strings.TrimSpace(string(text))
	if n.saved = was == now; !n.saved && grammar.ValidateSlotName(was) == nil {
		n.earlier = was
	}
	return n
}

// used makes the name durable before the slot is made or used. Where there is no room it is not known: that is said
// once. It is not for several goroutines at once.
func (n *slotName) used() {
	if n.saved || n.now == "" {
		return
	}
	n.saved = true
	if err := durable.WriteFile(durable.OS{}, n.path, []byte(n.now+"\n")); err != nil {
		n.log.Warn("cannot remember the name of the slot on the primary", "slot", n.now, "err", err)
	}
}
