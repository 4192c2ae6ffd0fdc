package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/internal/durable"
)

const (
	// memoryFile keeps across a crash the node's boot number, its promise not to vote (ruling R2) and its rule (ruling
	// R9). It is a vote.State without sessions and the CRC-32C of that.
	memoryFile = "node"
	// forgottenFile lists the members that an operator has removed (ruling R5), one a line: the name and, if known,
	// the key (ruling R48). A CRC-32C ends it. Without it nobody is forgotten, which is always safe.
	forgottenFile = "forgotten"
	// forgottenFormat is its first line. Release v0.1.0 wrote none, and names alone: it takes this line and the keys
	// for names of nobody.
	forgottenFormat = "#replproxy-forgotten/1"
	formatPrefix    = "#"
	// livesFile lists the known starts of other members. After a line with its format it has name, key, boot and run,
	// one line for each, and the CRC-32C of that. Without it nobody is known.
	livesFile   = "members"
	livesFormat = "#replproxy-members/1"
)

// errDamaged reports a checksum that is not right.
var errDamaged = errors.New("is damaged")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// memory is a directory with a memoryFile; "" remembers nothing.
type memory string

// load returns the remembered state; the zero State when there is none. Damage is an error: a node that has forgotten
// its promise must not vote.
func (m memory) load() (s vote.State, err error) {
	if m == "" {
		return s, nil
	}
	path := filepath.Join(string(m), memoryFile)
	body, err := checked(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s, nil
	case errors.Is(err, errDamaged):
		return s, fmt.Errorf("%w: what this node has promised is not known. In a cluster it needs a new store, "+
			"and with it a new name (docs/runbook.md, A new store). Alone, remove the file, when no promotion relies "+
			"on a fence here", err)
	case err != nil:
		return s, err
	}
	v, err := vote.Decode(body, link.Oldest)
	if err != nil {
		return s, fmt.Errorf("read %s: %w", path, err)
	}
	s, ok := v.(vote.State)
	if !ok {
		return s, fmt.Errorf("%s holds something else", path)
	}
	return s, nil
}

// Remembers reports whether a node that has Options.Dir dir has run before. An error is the file system's: it is not
// known.
func Remembers(dir string) (bool, error) { return exists(filepath.Join(dir, memoryFile)) }

func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// forgotten returns the remembered names of removed members. keyOf is a member's present key: who has another one is
// another member of that name. There are none without a file, or a folder. A damaged file is an error.
func (m memory) forgotten(keyOf func(string) string) (names []string, err error) {
	if m == "" {
		return nil, nil
	}
	path := filepath.Join(string(m), forgottenFile)
	body, err := checked(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return nil, err
	}
	for i, line := range strings.Split(string(body), "\n") {
		f := strings.Fields(line)
		switch {
		case len(f) == 0:
		case i == 0 && strings.HasPrefix(f[0], formatPrefix):
			if f[0] != forgottenFormat {
				return nil, fmt.Errorf("%s has format %s, this replproxy knows %s", path, f[0], forgottenFormat)
			}
		case len(f) == 1 || f[1] == keyOf(f[0]):
			names = append(names, f[0])
		}
	}
	return names, nil
}

// text returns the content of a file behind the line with its format, and the file's path. "": there is no such file.
func (m memory) text(file, format string) (path, text string, err error) {
	if m == "" {
		return "", "", nil
	}
	path = filepath.Join(string(m), file)
	body, err := checked(path)
	if errors.Is(err, fs.ErrNotExist) {
		return path, "", nil
	}
	if err != nil {
		return path, "", err
	}
	found, text, _ := strings.Cut(string(body), "\n")
	if found != format {
		return path, "", fmt.Errorf("%s has format %s, this replproxy knows %s", path, found, format)
	}
	return path, text, nil
}

// lives returns the remembered starts of other members; none where there is no file. A damaged file is an error.
func (m memory) lives() (all []vote.Life, err error) {
	path, lines, err := m.text(livesFile, livesFormat)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(lines) {
		var x vote.Life
		if _, err := fmt.Sscanf(line, "%s %x %d %x\n", &x.Node, &x.Key, &x.Boot, &x.Run); err != nil {
			return nil, fmt.Errorf("%s %w: %q", path, errDamaged, line)
		}
		all = append(all, x)
	}
	return all, nil
}

func encodeLives(all []vote.Life) []byte {
	var b strings.Builder
	fmt.Fprintln(&b, livesFormat)
	for _, x := range all {
		fmt.Fprintf(&b, "%s %x %d %x\n", x.Node, x.Key, x.Boot, x.Run)
	}
	return seal([]byte(b.String()))
}

// checked returns a file without its checksum. errDamaged: that is wrong.
func checked(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	body, sum := b[:max(0, len(b)-4)], b[max(0, len(b)-4):]
	if len(sum) < 4 || binary.BigEndian.Uint32(sum) != crc32.Checksum(body, castagnoli) {
		return nil, fmt.Errorf("%s %w", path, errDamaged)
	}
	return body, nil
}

func seal(b []byte) []byte { return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)) }

// encode returns a state as it is saved, and as it is compared: without what changes with commits. It fails outside the
// bounds of a message.
func encode(s vote.State) ([]byte, error) {
	s.Seq, s.Upstream, s.HistoryHash, s.FirstWAL, s.Sessions = 0, false, 0, vote.Fingerprint{}, nil
	b, older, err := vote.AppendState(nil, s)
	if err != nil {
		return nil, err
	}
	return seal(b[:older]), nil
}

// save makes b durable before it returns; after an error the file is as before, or as b.
func (m memory) save(b []byte) error { return m.write(memoryFile, b) }

// saveForgotten does so for removed members; keyOf gives a member's key, "" for none.
func (m memory) saveForgotten(names []string, keyOf func(string) string) error {
	text := forgottenFormat + "\n"
	for _, name := range names {
		text += strings.TrimSpace(name+" "+keyOf(name)) + "\n"
	}
	return m.write(forgottenFile, seal([]byte(text)))
}

func (m memory) write(name string, b []byte) error {
	if m == "" {
		return nil
	}
	if err := durable.MakeDir(string(m)); err != nil {
		return err
	}
	return durable.WriteFile(durable.OS{}, filepath.Join(string(m), name), b)
}
