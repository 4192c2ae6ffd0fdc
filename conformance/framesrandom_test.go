package conformance

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
	"github.com/replproxy/replproxy/internal/wire"
)

// randomSessions is how many sessions a server and a proxy have in an ordinary run.
const randomSessions = 100

// sessionCommands are what random sessions ask; @ is where the server's WAL ended before. What they leave behind is
// the same on both sides. None starts a base backup.
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

// TestRandomWalsenderSessions says the same random messages, all at once, to a server and to a proxy in front of
// another one: both say the same up to positions and the system's identifier.
func TestRandomWalsenderSessions(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		settings := pgtest.Settings("wal_level = logical", "log_min_messages = fatal")
		direct, behind := in.Primary(t, settings), in.Primary(t, settings)
		proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: behind.Conninfo()})
		at := func(s *pgtest.Server) string { return s.Scalar(t, "SELECT pg_current_wal_flush_lsn()") }
		here, there := at(direct), at(behind)
		rng := random(t)
		until := time.Now().Add(soakTime(t))
		for n := 0; n < randomSessions || time.Now().Before(until); n++ {
			all := randomUtterances(rng)
			want, got := hear(t, direct.Port, all, here), hear(t, proxy.Port, all, there)
			if want != got {
				t.Errorf("to %v\nPostgreSQL says\n%s\nreplproxy says\n%s", all, want, got)
			}
		}
	})
}

// utterance is one message of a client.
type utterance struct {
	typ    byte
	body   string
	length int // one more than the length word, when that is wrong; 0: it is right
}

func (u utterance) String() string { return fmt.Sprintf("%c%q", u.typ, u.body) }

func (u utterance) append(b []byte, at string) []byte {
	if u.length > 0 {
		return append(b, u.typ, 0, 0, 0, byte(u.length-1))
	}
	return wire.AppendFrame(b, u.typ, []byte(strings.Replace(u.body, "@", at, 1)))
}

func randomUtterances(rng *rand.Rand) (all []utterance) {
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
			text := pick(rng, sessionCommands)
			say('Q', text+strings.Repeat("\x00", min(rng.IntN(12), 1)+rng.IntN(30)/29)) // now and then none, or two
			if strings.Contains(text, "@") && rng.IntN(3) > 0 {
				say('d', "r"+string(make([]byte, 33)))
				say('c', "")
			}
		}
	}
	say('S', "")
	say('X', "")
	return all
}

// hear is all that a walsender says to a client that has logged in.
func hear(t *testing.T, port int, all []utterance, at string) string {
	t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(answerTimeout))
	params := "user\x00postgres\x00replication\x00true\x00application_name\x00random\x00\x00"
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

// describeHeard leaves out what is different between two servers, and WAL: how much there is changes.
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
