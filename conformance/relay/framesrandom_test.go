package relay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/internal/wire"
)

// randomSessions is the number of sessions of a server and a proxy in an ordinary run.
const randomSessions = 100

// sessionCommands are the commands of random sessions; @ is the end of the server's WAL before. What they leave behind
// is the same on both sides. None starts a base backup.
var sessionCommands = strings.Split(strings.ReplaceAll(strings.TrimSpace(`
IDENTIFY_SYSTEM|IDENTIFY_SYSTEM;|IDENTIFY_SYSTEM aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
SHOW server_version|SHOW wal_segment_size|SHOW no_such|SHOW Server_Version|SHOW application_name|SHOW a.b|SHOW
TIMELINE_HISTORY 1|TIMELINE_HISTORY 2|TIMELINE_HISTORY 0|TIMELINE_HISTORY 4294967295|TIMELINE_HISTORY 4294967296
CREATE_REPLICATION_SLOT r1 PHYSICAL|CREATE_REPLICATION_SLOT r2 TEMPORARY PHYSICAL|CREATE_REPLICATION_SLOT "R 1" PHYSICAL
CREATE_REPLICATION_SLOT r1 LOGICAL pgoutput|CREATE_REPLICATION_SLOT r3 PHYSICAL (RESERVE_WAL)
CREATE_REPLICATION_SLOT r3 PHYSICAL (SNAPSHOT 'use')|CREATE_REPLICATION_SLOT "" PHYSICAL
DROP_REPLICATION_SLOT r1|DROP_REPLICATION_SLOT r2|DROP_REPLICATION_SLOT r3 WAIT|DROP_REPLICATION_SLOT none|DROP_REPLICATION_SLOT ""
READ_REPLICATION_SLOT r1|READ_REPLICATION_SLOT r2|READ_REPLICATION_SLOT none|READ_REPLICATION_SLOT a.b
ALTER_REPLICATION_SLOT r1 (FAILOVER)|ALTER_REPLICATION_SLOT none (FAILOVER)
START_REPLICATION FFFFFF/0|START_REPLICATION SLOT none 0/0|START_REPLICATION SLOT "" 0/0|START_REPLICATION SLOT r1 FFFFFF/0
START_REPLICATION 0/1000000 TIMELINE 9|START_REPLICATION SLOT none LOGICAL 0/0|START_REPLICATION SLOT r1 LOGICAL 0/0
START_REPLICATION @|START_REPLICATION @|START_REPLICATION @|START_REPLICATION SLOT r1 @|START_REPLICATION @ TIMELINE 2
START_REPLICATION SLOT r2 PHYSICAL @ TIMELINE 1
BASE_BACKUP (|BASE_BACKUP (nonsense)|BASE_BACKUP NONSENSE|BASE_BACKUP (target 'nowhere')|BASE_BACKUP (max_rate 1)
UPLOAD_MANIFEST x||;| |SELECT 1|BEGIN|'x|"x|identify_system|--`), "\n", "|"), "|")

// TestRandomWalsenderSessions sends the same random messages, all at once, to a server and to a proxy in front of
// another one. Both answer the same up to positions and the system's identifier.
func TestRandomWalsenderSessions(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		settings := pgtest.Settings("wal_level = logical", "log_min_messages = fatal")
		direct, behind := in.Primary(t, settings), in.Primary(t, settings)
		proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: behind.Conninfo()})
		at := func(s *pgtest.Server) string { return s.Scalar(t, "SELECT pg_current_wal_flush_lsn()") }
		here, there := at(direct), at(behind)
		rng := scene.Random(t)
		until := time.Now().Add(scene.SoakTime(t))
		for n := 0; n < randomSessions || time.Now().Before(until); n++ {
			all := randomUtterances(rng, sessionCommands)
			want, got := hear(t, direct.Port, all, here, "true"), hear(t, proxy.Port, all, there, "true")
			if want != got {
				t.Errorf("to %v\nPostgreSQL says\n%s\nreplproxy says\n%s", all, want, got)
			}
		}
	})
}

// databaseCommands are the commands of random sessions on a database beside sessionCommands.
var databaseCommands = append(strings.Split(strings.ReplaceAll(strings.TrimSpace(`
SELECT 1; SELECT 2|BEGIN|BEGIN|COMMIT|ROLLBACK|SELECT 1/0|SAVEPOINT s|SET application_name = 'other'|SHOW application_name
SET LOCAL application_name = 'local'|show application_name|RESET application_name|SET client_encoding = 'LATIN1'
COPY t FROM STDIN|COPY t FROM STDIN; COPY t FROM STDIN|COPY t TO STDOUT|COPY (SELECT g FROM generate_series(1, 1000) g) TO STDOUT
COPY none FROM STDIN|COPY t FROM STDIN; SELECT 1|TRUNCATE t|SELECT count(*) FROM t
SELECT count(*) FROM pg_create_logical_replication_slot('l1', 'test_decoding')
SELECT count(*) FROM pg_create_logical_replication_slot('l2', 'pgoutput', true)
DROP_REPLICATION_SLOT l1|DROP_REPLICATION_SLOT l1 WAIT|DROP_REPLICATION_SLOT L2
READ_REPLICATION_SLOT l1|ALTER_REPLICATION_SLOT l1 (FAILOVER)|START_REPLICATION SLOT l1 LOGICAL 0/0
START_REPLICATION SLOT l1 LOGICAL 0/0 ("no-such" 'option')|START_REPLICATION SLOT l1 PHYSICAL @|START_REPLICATION SLOT "r1" LOGICAL @
START_REPLICATION SLOT l2 LOGICAL 0/0|START_REPLICATION SLOT l2 LOGICAL 0/0 (proto_version '1', publication_names 'none')
  START_REPLICATION PHYSICAL @;|START_REPLICATION PHYSICAL @; SELECT 1|start_replication physical @
/* */ START_REPLICATION @|-- x|COPY t FROM STDIN`), "\n", "|"), "|"), withoutCreation(sessionCommands)...)

// withoutCreation leaves out the logical slot: while PostgreSQL makes one it takes what the client says for replies of a
// standby, now and then.
func withoutCreation(commands []string) (all []string) {
	for _, c := range commands {
		if !strings.HasSuffix(c, "LOGICAL pgoutput") {
			all = append(all, c)
		}
	}
	return all
}

// TestRandomDatabaseSessions does the same on a database, where SQL, COPY and logical streams are told from what is
// physical (ruling R35).
func TestRandomDatabaseSessions(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		settings := pgtest.Settings("wal_level = logical", "log_min_messages = fatal")
		direct, behind := in.Primary(t, settings), in.Primary(t, settings)
		proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: behind.Conninfo()})
		at := func(s *pgtest.Server) string { return s.Scalar(t, "SELECT pg_current_wal_flush_lsn()") }
		direct.Exec(t, "CREATE TABLE t (id int)")
		behind.Exec(t, "CREATE TABLE t (id int)")
		here, there := at(direct), at(behind)
		rng := scene.Random(t)
		until := time.Now().Add(scene.SoakTime(t))
		for n := 0; n < randomSessions || time.Now().Before(until); n++ {
			all := randomUtterances(rng, databaseCommands)
			if text := fmt.Sprint(all); in.Major == 14 && strings.Contains(text, " LOGICAL ") &&
				strings.Contains(text, "START_REPLICATION") && strings.Contains(text, "@") {
				continue // 14 ends a logical stream at once when a physical one was ended before it
			}
			want, got := hear(t, direct.Port, all, here, "database"), hear(t, proxy.Port, all, there, "database")
			if want != got {
				t.Fatalf("to %v\nPostgreSQL says\n%s\nreplproxy says\n%s", all, want, got)
			}
		}
	}, 14, 15, 17, 18)
}

// utterance is one message of a client.
type utterance struct {
	typ    byte
	body   string
	length int // one more than the length word, when that is wrong; 0: it is right
}

func (u utterance) String() string { return fmt.Sprintf("%c%.200q", u.typ, u.body) }

func (u utterance) append(b []byte, at string) []byte {
	if u.length > 0 {
		return append(b, u.typ, 0, 0, 0, byte(u.length-1))
	}
	return wire.AppendFrame(b, u.typ, []byte(strings.Replace(u.body, "@", at, 1)))
}

func randomUtterances(rng *rand.Rand, commands []string) (all []utterance) {
	say := func(typ byte, body string) { all = append(all, utterance{typ: typ, body: body}) }
	zeros := func(most int) string { return string(make([]byte, rng.IntN(most))) }
	for range 1 + rng.IntN(8) {
		switch rng.IntN(14) {
		case 0:
			say("PBEDCSHFdcf"[rng.IntN(11)], zeros(8))
		case 1:
			if rng.IntN(8) == 0 {
				say(byte(rng.IntN(256)), "")
			}
		case 2:
			if rng.IntN(8) == 0 {
				all = append(all, utterance{typ: "QSdX"[rng.IntN(4)], length: 1 + rng.IntN(4)})
			}
		case 3:
			if rng.IntN(4) == 0 {
				say("SHCdcfX"[rng.IntN(7)], zeros(40_000))
			}
		case 4:
			say('S', "")
		case 5:
			say('c', "")
		case 6:
			say('d', "r"+zeros(40))
		case 7:
			say('d', "h"+zeros(30))
		default:
			text := pick(rng, commands)
			say('Q', text+strings.Repeat("\x00", min(rng.IntN(12), 1)+rng.IntN(30)/29)) // now and then none, or two
			if strings.Contains(text, "@") && rng.IntN(3) > 0 {
				say('d', "r"+string(make([]byte, 33)))
				say('c', "")
			}
			if strings.HasPrefix(text, "COPY t FROM") && rng.IntN(5) > 0 {
				for range rng.IntN(3) {
					say('d', pick(rng, []string{"1\n", "1\n2", "x\n"}))
				}
				say("cccfS"[rng.IntN(5)], "")
			}
		}
	}
	say('S', "")
	say('X', "")
	return all
}

// hear is all that a walsender says to a client that has logged in, with this value of replication.
func hear(t *testing.T, port int, all []utterance, at, replication string) string {
	t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(answerTimeout))
	params := "user\x00postgres\x00database\x00postgres\x00replication\x00" + replication +
		"\x00application_name\x00random\x00\x00"
	said := binary.BigEndian.AppendUint32(nil, uint32(8+len(params)))
	said = append(binary.BigEndian.AppendUint32(said, 3<<16), params...)
	if _, err := conn.Write(said); err != nil {
		t.Fatal(err)
	}
	var heard strings.Builder
	for r, in := wire.NewReader(conn, 8<<10), false; ; {
		h, err := r.Next()
		var body []byte
		if err == nil {
			body, err = r.Body(h.Size, 1<<20)
		}
		if err != nil {
			if errors.Is(err, syscall.ECONNRESET) {
				err = io.EOF // it did not read all that was said
			}
			fmt.Fprintln(&heard, err)
			return heard.String()
		}
		switch {
		case in:
			heard.WriteString(describeHeard(h.Type, string(body)))
		case h.Type == 'Z':
			in, said = true, nil
			for _, u := range all {
				said = u.append(said, at)
			}
			if _, err := conn.Write(said); err != nil {
				t.Fatal(err)
			}
		}
	}
}

var (
	anyPosition = regexp.MustCompile(`[0-9A-F]+/[0-9A-F]+`)
	anySystem   = regexp.MustCompile(`\b[0-9]{18,20}\b`)
	anyLength   = regexp.MustCompile(`[\x00-\x20]+`)
)

// describeHeard leaves out fields that differ between two servers, and WAL, whose amount changes.
func describeHeard(typ byte, body string) string {
	switch typ {
	case 'd':
		return ""
	case 'E', 'N':
		e, _ := wire.ParseError([]byte(body))
		body = fmt.Sprint(*e)
	}
	body = anySystem.ReplaceAllString(anyPosition.ReplaceAllString(body, "X/X"), "system")
	if typ == 'D' {
		body = anyLength.ReplaceAllString(body, "|")
	}
	return fmt.Sprintf("%c %q\n", typ, body)
}
