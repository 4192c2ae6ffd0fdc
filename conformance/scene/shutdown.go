package scene

import (
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// ShutdownTime bounds a fast shutdown of a primary on a busy machine. One that waits for somebody who does
// not answer takes wal_sender_timeout, a minute.
const ShutdownTime = WalSenderTimeout / 2

func ParseLSN(t *testing.T, text string) lsn.LSN {
	t.Helper()
	l, err := lsn.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
