package proxy_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/handshake/roles"
	"github.com/replproxy/replproxy/internal/wire"
	"github.com/replproxy/replproxy/proxy"
)

// saltOf begins a log-in and returns the salt and the iterations of the server's first message.
func saltOf(t *testing.T, address, user string) string {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	first, _ := firstMessage(t, c, user)
	_, rest, _ := strings.Cut(first, ",s=")
	return rest
}

// firstMessage is the server's first message of an exchange, and how long it took since the startup packet.
func firstMessage(t *testing.T, c net.Conn, user string) (first string, took time.Duration) {
	t.Helper()
	c.SetDeadline(time.Now().Add(patience))
	began := time.Now()
	answer := func(b []byte) []byte {
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
		var head [9]byte
		if _, err := io.ReadFull(c, head[:]); err != nil || head[0] != 'R' {
			t.Fatalf("%q, %v", head, err)
		}
		body := make([]byte, binary.BigEndian.Uint32(head[1:])-8)
		if _, err := io.ReadFull(c, body); err != nil {
			t.Fatal(err)
		}
		return body
	}
	answer(startup(v30, "user", user, "database", "postgres"))
	took = time.Since(began)
	const bare = "n,,n=,r=abcdefghijklmnopqrstuvwx"
	return string(answer(wire.AppendFrame(nil, 'p', append(binary.BigEndian.AppendUint32([]byte("SCRAM-SHA-256\x00"), uint32(len(bare))), bare...)))), took
}

// TestSaltsAreAlike: two proxies show the same salt for a name, whether it is a role or not. So does one with a new
// data directory; a cluster needs no question to the primary for that.
func TestSaltsAreAlike(t *testing.T) {
	s := scramPrimary(t, pgtest.Need(t, 15))
	var all []string
	for range 3 { // each has a directory of its own
		all = append(all, start(t, proxy.Options{Upstream: tcpTo(s), Roles: ask(t, s, nil)}).tcp())
	}
	for _, user := range []string{"nobody", "alice", "old", "empty", "expired", "nosuchrole"} { // an invented one first
		salt := saltOf(t, all[0], user)
		for _, address := range all[1:] {
			if got := saltOf(t, address, user); got != salt || got == "" {
				t.Errorf("%s: %q and %q", user, salt, got)
			}
		}
	}
	secret := func(n int) proxy.Roles {
		k, err := roles.Open(roles.Options{File: usersFile(t, s), Dir: filepath.Join(t.TempDir(), strconv.Itoa(n)), Shared: []byte("the cluster's key"),
			Shown: func() (map[string]string, map[string]string) { return nil, nil }, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	a, b := secret(1).Mock("nobody"), secret(2).Mock("nobody")
	if string(a.Salt) != string(b.Salt) || string(a.Salt) == string(secret(1).Mock("nobodyelse").Salt) {
		t.Errorf("%x %x", a.Salt, b.Salt)
	}
}

// TestTimesAreAlike: the first message takes as long for a role that logged in lately, for one that nobody has asked
// for, and for an invented name. make soak WHAT=times measures how far the medians are apart.
func TestTimesAreAlike(t *testing.T) {
	n, limit := 25, 20*time.Millisecond // whatever the machine has to do beside it
	if text := os.Getenv("REPLPROXY_TIMES"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
		limit = 100 * time.Microsecond
	}
	s := scramPrimary(t, pgtest.Need(t, 15))
	s.Exec(t, fmt.Sprintf("DO $$ BEGIN FOR i IN 0..%d LOOP EXECUTE format('CREATE ROLE never%%s LOGIN', i); END LOOP; END $$", n),
		"host="+s.SocketDir)
	w := start(t, proxy.Options{Upstream: tcpTo(s), Roles: ask(t, s, nil)})
	took := map[string][]time.Duration{}
	for i := range n {
		for _, kind := range []string{"known", "never asked", "invented", "invented lately"} {
			user := map[string]string{"known": "alice", "never asked": fmt.Sprintf("never%d", i),
				"invented": fmt.Sprintf("invented%d", i), "invented lately": "nobody"}[kind]
			c, err := net.Dial("tcp", w.tcp())
			if err != nil {
				t.Fatal(err)
			}
			_, d := firstMessage(t, c, user)
			c.Close()
			took[kind] = append(took[kind], d)
		}
	}
	var medians []time.Duration
	for kind, all := range took {
		slices.Sort(all)
		medians = append(medians, all[len(all)/2])
		t.Logf("%s: median %v", kind, all[len(all)/2])
	}
	if apart := slices.Max(medians) - slices.Min(medians); apart > limit {
		t.Errorf("the medians of %d log-ins each are %v apart", n, apart)
	} else {
		t.Logf("soak: the medians of %d log-ins each are %v apart", n, apart)
	}
}
