package scene

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/fanout/walstore/walformat"
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

// LoseTail takes from a primary of system, which is down, the WAL behind the last complete record before end, as when
// its disk had no more of it. It returns the end of that record.
func LoseTail(t *testing.T, primary *pgtest.Server, system lsn.SystemID, size lsn.SegSize, end lsn.LSN) lsn.LSN {
	t.Helper()
	path := func(at lsn.LSN) string { return filepath.Join(primary.WALDir(), size.FileName(1, size.Segno(at))) }
	page := make([]byte, lsn.PageSize)
	w := walformat.Walker{
		Source: walformat.Source{System: system, SegSize: size, Major: primary.Install.Major}, Timeline: 1, Limit: end,
		Pages: func(at lsn.LSN) ([]byte, error) { return page, readAt(path(at), page, size.Offset(at)) },
	}
	if _, err := w.Start(max(size.Floor(end-1), 2*lsn.LSN(size)) - lsn.LSN(size)); err != nil {
		t.Fatal(err)
	}
	var err error
	for err == nil {
		_, err = w.Next()
	}
	var ended *walformat.EndError
	if !errors.As(err, &ended) {
		t.Fatal(err)
	}
	if ended.At >= end {
		return ended.At
	}
	for at := ended.At; ; at = size.Floor(at) + lsn.LSN(size) {
		f, err := os.OpenFile(path(at), os.O_WRONLY, 0)
		if errors.Is(err, os.ErrNotExist) {
			return ended.At
		}
		if err == nil {
			_, err = f.WriteAt(make([]byte, int64(size)-size.Offset(at)), size.Offset(at))
		}
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

func readAt(path string, b []byte, off int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	_, err = f.ReadAt(b, off)
	return errors.Join(err, f.Close())
}
