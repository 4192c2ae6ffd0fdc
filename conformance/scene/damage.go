package scene

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Spoil changes 64 bytes of a stopped proxy's WAL: at least one of them belongs to a record.
func Spoil(t *testing.T, proxy *pgtest.Proxy, size lsn.SegSize, at lsn.LSN) {
	t.Helper()
	name := filepath.Join(proxy.DataDir, "wal", size.FileName(1, size.Segno(at)))
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [64]byte
	if _, err := f.ReadAt(b[:], size.Offset(at)); err != nil {
		t.Fatal(err)
	}
	for i := range b {
		b[i] ^= 0x55
	}
	if _, err := f.WriteAt(b[:], size.Offset(at)); err != nil {
		t.Fatal(err)
	}
}
