package relay

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/internal/wire"
)

// alikePackets bounds from below how many are compared.
const alikePackets = 65

// kerberos stands for a server that would go on with GSSAPI.
const kerberos = "it wants GSSAPI"

// startupPackets lists first packets of clients: each is sent in pieces, and the answer to a request for encryption
// read between them.
func startupPackets() (all [][][]byte) {
	one := func(words ...string) { all = append(all, [][]byte{startupOf(words...)}) }
	for _, replication := range []string{"true", "tRuE", "t", "tr", "yes", "Y", "ye", "on", "ON", "1", "false", "f", "no", "n",
		"off", "of", "0", "o", "2", "", "Database", "database", " true", "true ", "tru\te", "yess", "01", "null"} {
		one("user", "postgres", "database", "postgres", "replication", replication)
	}
	one("user", "postgres", "replication", "database", "replication", "true")
	one("user", "postgres", "replication", "database", "replication", "false")
	one("user", "postgres", "replication", "true", "replication", "false")
	for _, words := range [][]string{{}, {"user", ""}, {"database", "postgres"}, {"user", "nobody"}, {"user", "postgres"},
		{"user", "postgres", "database", "absent"}, {"user", "postgres", "database", ""}, {"user", "nobody", "user", "postgres"},
		{"user", strings.Repeat("u", 64)}, {"user", "postgres", "database", strings.Repeat("d", 70)},
		{"user", "postgres", "database", "absent", "replication", "true"},
		{"user", "postgres", "database", "absent", "replication", "database"}} {
		one(words...)
	}
	for _, setting := range [][2]string{{"application_name", "a\xc3"}, {"client_encoding", "LATIN1"}, {"client_encoding", "x"},
		{"DateStyle", "ISO, DMY"}, {"datestyle", "x"}, {"no_such", "1"}, {"a.b", "1"}, {"work_mem", "1PB"}, {"port", "1"},
		{"_pq_.x", "1"}, {"options", "-c work_mem=1MB"}, {"options", "--work-mem=1MB"}, {"options", "-c no_such=1"},
		{"options", "-Z"}, {"options", "-e"}, {"options", "-c"}, {"options", "x"}, {"options", "-c\\ work_mem=1MB"},
		{"wal_sender_timeout", "1h"}} {
		for _, replication := range []string{"false", "true"} {
			one("user", "postgres", "database", "postgres", "replication", replication, setting[0], setting[1])
		}
	}
	whole := strings.Join([]string{"user", "postgres", "database", "postgres"}, "\x00") + "\x00\x00"
	for _, version := range []uint32{1 << 16, 2 << 16, 3 << 16, 3<<16 | 1, 3<<16 | 2, 3<<16 | 9999, 4 << 16, 0, 1234<<16 | 1} {
		all = append(all, [][]byte{packetOf(version, whole)})
	}
	for _, body := range []string{"", "\x00", "user", "user\x00postgres", "user\x00postgres\x00", "user\x00postgres\x00\x00x",
		"user\x00postgres\x00\x00\x00", "\x00\x00"} {
		all = append(all, [][]byte{packetOf(3<<16, body)})
	}
	const ssl, gss, cancelling = 80877103, 80877104, 80877102
	for _, order := range [][]uint32{{ssl}, {gss}, {ssl, gss}, {gss, ssl}, {ssl, ssl}, {gss, gss}} {
		var packets [][]byte
		for _, code := range order {
			packets = append(packets, packetOf(code, ""))
		}
		all = append(all, append(packets, packetOf(3<<16, whole)))
	}
	return append(all, [][]byte{packetOf(cancelling, "12345678")}, [][]byte{packetOf(cancelling, "1234")},
		[][]byte{{0, 0, 0, 3}}, [][]byte{{0, 0, 0, 4}}, [][]byte{{0, 1, 0, 0}})
}

// opening returns a server's answer to packets.
func opening(t *testing.T, port int, packets [][]byte) string {
	t.Helper()
	var answers []string
	c := raw(t, port)
	defer c.Close()
	for i, p := range packets {
		_, _ = c.Write(p)
		if i == len(packets)-1 {
			break
		}
		var b [1]byte
		if _, err := io.ReadFull(c, b[:]); err != nil {
			return strings.Join(append(answers, "end"), "\n")
		}
		answers = append(answers, "byte "+string(b[:]))
		if b[0] == 'G' {
			return strings.Join(append(answers, kerberos), "\n")
		}
		if b[0] == 'E' {
			rest, _ := io.ReadAll(c)
			e, _ := wire.ParseError(rest[min(4, len(rest)):])
			return strings.Join(append(answers, string(e.Code)+" "+e.Message), "\n")
		}
	}
	// Nothing that is answered here is longer: protocol 2 has no length, and its text would be taken for one.
	return strings.Join(append(answers, heard(io.LimitReader(c, 64<<10))), "\n")
}

// TestAlikePackets: what clients open with gets the server's own answers through the proxy.
func TestAlikePackets(t *testing.T) {
	packets := startupPackets()
	if len(packets) < alikePackets {
		t.Errorf("%d packets, at least %d were tried", len(packets), alikePackets)
	}
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		primary := in.Primary(t, pgtest.Settings("wal_level = logical", "max_wal_senders = 20"))
		proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: primary.Conninfo()})
		for _, p := range packets {
			want, got := opening(t, primary.Port, p), opening(t, proxy.Port, p)
			// By design: a server that was built with GSSAPI would encrypt with it, the proxy never does.
			if strings.HasSuffix(want, kerberos) && strings.Contains(got, "byte N") {
				continue
			}
			if want != got {
				t.Errorf("%q\ndirect: %s\nproxy:  %s", bytes.Join(p, []byte("|")), want, got)
			}
		}
	})
}
