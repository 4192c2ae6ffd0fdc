package relay

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/corpus"
	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/internal/wire"
)

// alikeCommands bounds from below how many are compared: so many were tried by hand once, and held.
const alikeCommands = 371

// longestMessage bounds the bytes read of one message: protocol 2 has no lengths, and its text is read as one.
const longestMessage = 1 << 20

// otherwise are commands whose answer differs, and why.
var otherwise = []struct{ text, why string }{
	{`^"?(aaaa|bbbb)`, "the notice that a word of SQL is too long is left out where SQL is refused anyway"},
	{`compression (lz4|zstd)|^BASE_BACKUP.*'(lz4|zstd)`, "the grammar is that of a server which was built with them"},
	{`incremental, incremental`, "the second one is refused before the server looks whether it can"},
}

// differs reports whether a command is one of otherwise.
func differs(text string) bool {
	for _, o := range otherwise {
		if regexp.MustCompile(o.text).MatchString(text) {
			return true
		}
	}
	return false
}

// positions differ between any two moments.
var positions = regexp.MustCompile(`[0-9A-F]+/[0-9A-F]+`)

// raw connects to a server and sends a startup packet.
func raw(t *testing.T, port int, packets ...[]byte) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(answerTimeout))
	for _, p := range packets {
		_, _ = c.Write(p)
	}
	return c
}

func packetOf(code uint32, body string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
	return append(binary.BigEndian.AppendUint32(b, code), body...)
}

func startupOf(words ...string) []byte {
	return packetOf(3<<16, strings.Join(words, "\x00")+"\x00\x00")
}

// heard are the messages up to ReadyForQuery, COPY or the end, without what differs at any time.
func heard(r io.Reader) string {
	var all []string
	for {
		var head [5]byte
		if _, err := io.ReadFull(r, head[:1]); err != nil {
			return strings.Join(append(all, "end"), "\n")
		}
		if _, err := io.ReadFull(r, head[1:]); err != nil {
			return strings.Join(append(all, "end in "+string(head[:1])), "\n")
		}
		body := make([]byte, min(max(int(int32(binary.BigEndian.Uint32(head[1:])))-4, 0), longestMessage))
		if _, err := io.ReadFull(r, body); err != nil {
			return strings.Join(append(all, "end in "+string(head[:1])), "\n")
		}
		line := string(head[:1])
		switch head[0] {
		case 'E', 'N':
			e, _ := wire.ParseError(body)
			line += fmt.Sprintf(" %s %s %q %q %q %d", e.Severity, e.Code, e.Message, e.Detail, e.Hint, e.Position)
		case 'T', 'C', 'v', 'Z', 'W', 'G', 'R':
			line += fmt.Sprintf(" %q", body)
		case 'K':
			line += fmt.Sprint(" ", len(body))
		case 'S':
			name, _, _ := bytes.Cut(body, []byte{0})
			line += " " + string(name)
		case 'd', 'H', 'c':
			continue
		}
		all = append(all, positions.ReplaceAllString(line, "X/X"))
		if strings.IndexByte("ZWG", head[0]) >= 0 {
			return strings.Join(all, "\n")
		}
	}
}

// alikeSession is a walsender that is logged in anew when it has ended.
type alikeSession struct {
	t    *testing.T
	port int
	kind string
	c    net.Conn
}

func (s *alikeSession) ask(query string) string {
	for s.c == nil {
		s.c = raw(s.t, s.port, startupOf("user", "postgres", "database", "postgres", "replication", s.kind))
		if got := heard(s.c); !strings.HasSuffix(got, `Z "I"`) {
			s.t.Fatalf("log in as %s: %s", s.kind, got)
		}
	}
	_ = s.c.SetDeadline(time.Now().Add(answerTimeout))
	_, _ = s.c.Write(queryOf(query))
	got := heard(s.c)
	if !strings.Contains(got, "\nZ ") && !strings.HasPrefix(got, "Z ") {
		s.c.Close()
		s.c = nil
	}
	return got
}

// succeeds reports whether some version takes the command.
func succeeds(text string) bool {
	for _, major := range pgtest.Majors() {
		if _, _, err := grammar.Parse(text, grammar.Version(major*10000)); err == nil {
			return true
		}
	}
	return false
}

// TestAlikeCommands: replication commands, odd, valid and invalid, get the server's own answers through the proxy.
func TestAlikeCommands(t *testing.T) {
	texts, err := corpus.Texts("../../grammar/testdata")
	if err != nil {
		t.Fatal(err)
	}
	sql, err := corpus.Texts("../../grammar/testdata/database")
	if err != nil {
		t.Fatal(err)
	}
	texts = append(texts, sql...)
	// Base backups that succeed have a test of their own, and take long.
	texts = slices.DeleteFunc(texts, func(text string) bool {
		return strings.HasPrefix(strings.TrimSpace(text), "BASE_BACKUP") && succeeds(text) || strings.ContainsRune(text, 0)
	})
	if len(texts) < alikeCommands {
		t.Errorf("%d commands, at least %d were tried", len(texts), alikeCommands)
	}
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		settings := pgtest.Settings("wal_level = logical", "max_replication_slots = 200", "max_wal_senders = 20")
		direct, primary := in.Primary(t, settings), in.Primary(t, settings)
		proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: primary.Conninfo()})
		for _, kind := range []string{"true", "database"} {
			want, got := &alikeSession{t: t, port: direct.Port, kind: kind}, &alikeSession{t: t, port: proxy.Port, kind: kind}
			for _, text := range texts {
				w, g := want.ask(text), got.ask(text)
				if w != g && !differs(text) {
					t.Errorf("%s: %q\ndirect: %s\nproxy:  %s", kind, text, w, g)
				}
			}
		}
	})
}
