package pgtest

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// newDataDir fills dir (which must not exist) with a fresh cluster of its own system identifier. initdb takes one to
// two seconds. It runs once per version and arguments on a machine, and its result is copied.
func (in *Install) newDataDir(dir string, initArgs []string) error {
	template, err := in.template(initArgs)
	if err != nil {
		return err
	}
	if err := copyTree(template, dir, in.who, nil); err != nil {
		return fmt.Errorf("copy template: %w", err)
	}
	if err := newSystemID(dir); err != nil {
		return fmt.Errorf("set system identifier: %w", err)
	}
	return nil
}

func (in *Install) template(initArgs []string) (string, error) {
	root, err := in.templateRoot()
	if err != nil {
		return "", err
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(strings.Join(initArgs, "\x00")))
	name := filepath.Join(root, fmt.Sprintf("%s-%s-%08x", in.label, in.Version, h.Sum32()))
	lock, err := os.OpenFile(name+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", fmt.Errorf("lock template: %w", err)
	}
	defer lock.Close() // which unlocks
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock template: %w", err)
	}
	if _, err := os.Stat(name); err == nil {
		return name, nil
	}
	return name, in.initdb(name, initArgs)
}

func (in *Install) initdb(name string, initArgs []string) error {
	half := name + ".new"
	if err := os.RemoveAll(half); err != nil {
		return fmt.Errorf("remove half a template: %w", err)
	}
	args := append([]string{
		"-D", half, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync",
	}, initArgs...)
	cmd := exec.Command(filepath.Join(in.Bin, "initdb"), args...)
	in.who.prepare(cmd, filepath.Dir(name), syscall.SIGKILL)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb %v: %w\n%s", initArgs, err, out)
	}
	return os.Rename(half, name)
}

// templateRoot returns the folder of templates: beside the servers, or in the temporary folder where that is not
// writable.
func (in *Install) templateRoot() (string, error) {
	var failed error
	for _, dir := range []string{cacheDir(), os.TempDir()} {
		root := filepath.Join(dir, "rpt-template-"+strconv.Itoa(in.who.UID))
		err := in.makeTemplateRoot(dir, root)
		if err == nil {
			return root, nil
		}
		failed = errors.Join(failed, err)
	}
	return "", fmt.Errorf("make folder for templates: %w", failed)
}

func (in *Install) makeTemplateRoot(parent, root string) error {
	info, err := os.Lstat(root)
	if err == nil {
		if !info.IsDir() || !ownedBy(info, in.who.UID) {
			return fmt.Errorf("%s belongs to somebody else", root)
		}
		return nil
	}
	half, err := os.MkdirTemp(parent, ".template-") // so that nobody sees it half made
	if err != nil {
		return err
	}
	if err := errors.Join(os.Chmod(half, 0o755), in.who.Own(half)); err != nil {
		return errors.Join(err, os.Remove(half))
	}
	err = os.Rename(half, root)
	if err == nil {
		return nil
	}
	_ = os.Remove(half)
	if _, statErr := os.Lstat(root); statErr != nil {
		return err
	}
	return in.makeTemplateRoot(parent, root) // somebody else was quicker
}

func ownedBy(info os.FileInfo, uid int) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == uid
}

// newSystemID gives a cluster that has never run another system identifier. It stands in pg_control and in the long
// page headers that begin its segments. In pg_control it is the first eight bytes, guarded by a CRC-32C whose place
// differs by version and is found by trying.
func newSystemID(dataDir string) error {
	control := filepath.Join(dataDir, "global", "pg_control")
	b, err := os.ReadFile(control)
	if err != nil {
		return err
	}
	crcAt, err := controlCRC(b)
	if err != nil {
		return err
	}
	var id [8]byte // the upper half is seconds, as initdb's, the lower half is random
	binary.LittleEndian.PutUint32(id[4:], uint32(time.Now().Unix()))
	if _, err := rand.Read(id[:4]); err != nil {
		return err
	}
	copy(b, id[:])
	binary.LittleEndian.PutUint32(b[crcAt:], crc32.Checksum(b[:crcAt], crc32.MakeTable(crc32.Castagnoli)))
	if err := os.WriteFile(control, b, 0o600); err != nil {
		return err
	}
	segments, err := filepath.Glob(filepath.Join(dataDir, "pg_wal", "00000001*"))
	for _, segment := range segments {
		err = errors.Join(err, patchSegment(segment, id[:]))
	}
	return err
}

func controlCRC(b []byte) (int, error) {
	const maxControlData = 512 // "PG_CONTROL_MAX_SAFE_SIZE": the struct never exceeds a disk sector
	table := crc32.MakeTable(crc32.Castagnoli)
	for at := 8; at+4 <= min(len(b), maxControlData); at += 4 {
		if crc32.Checksum(b[:at], table) == binary.LittleEndian.Uint32(b[at:]) {
			return at, nil
		}
	}
	return 0, errors.New("no CRC found in pg_control")
}

func patchSegment(path string, id []byte) error {
	const sysidOffset = 24 // of the long page header (facts H)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(id, sysidOffset)
	return errors.Join(err, f.Close())
}
