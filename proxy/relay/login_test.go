package relay

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/authwatch"
)

func refusedWith(err error) (code pgerror.Code, told bool) {
	var r *RefusedError
	if errors.As(err, &r) {
		return r.Err.Code, r.Told
	}
	return "", false
}

func TestLoginPassesAnExchangeUnchanged(t *testing.T) {
	var pid uint32
	var key string
	ready := make(chan struct{})
	s := run(t, t.Context(), "tcp", "tcp", func(o *Options) {
		o.Trusted = false
		o.OnKey = func(p uint32, k []byte) { pid, key = p, string(k) }
		o.OnReady = func() { close(ready) }
	})
	s.expect(t, s.primary, "startup!")
	for _, turn := range []struct{ ask, answer []byte }{
		{frame('R', u32(10)+"SCRAM-SHA-256\x00\x00"), frame('p', "SCRAM-SHA-256\x00\x00\x00\x00\x01n")},
		{frame('R', u32(11)+"r=x"), frame('p', "c=biws")},
	} {
		s.send(t, s.primary, string(turn.ask))
		s.expect(t, s.client, string(turn.ask))
		s.send(t, s.client, string(turn.answer))
		s.expect(t, s.primary, string(turn.answer))
	}
	long := strings.Repeat("k", 256)
	rest := string(frame('R', u32(12)+"v=")) + string(frame('R', u32(0))) + string(frame('S', "a\x00b\x00")) +
		string(frame('N', "\x00")) + string(frame('K', u32(99)+long)) + string(frame('Z', "I")) + "ahead"
	s.send(t, s.primary, rest)
	s.expect(t, s.client, rest)
	<-ready
	if pid != 99 || key != long {
		t.Errorf("pid %d, key %q", pid, key)
	}
	s.client.Close()
	s.primary.Close()
	s.end(t)
}

// What the client sends ahead of its turn waits, and nothing of it is lost.
func TestLoginKeepsWhatTheClientSendsAhead(t *testing.T) {
	s := run(t, t.Context(), "tcp", "tcp", nil)
	ahead := string(frame('p', "secret\x00")) + "Q, sent ahead"
	s.send(t, s.client, ahead)
	s.expect(t, s.primary, "startup!")
	s.send(t, s.primary, string(frame('R', u32(3))))
	s.expect(t, s.primary, ahead[:12])
	_ = s.primary.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := s.primary.Read(make([]byte, 1)); n > 0 || !isTimeout(err) {
		t.Fatalf("the primary got %d bytes before it accepted the client, %v", n, err)
	}
	_ = s.primary.SetReadDeadline(time.Now().Add(patience))
	s.send(t, s.primary, string(frame('R', u32(0)))+string(frame('Z', "I")))
	s.expect(t, s.primary, ahead[12:])
}

// The last GSS token needs no answer; what the client sends then is a query already.
func TestLoginEndsWithoutAnAnswer(t *testing.T) {
	s := run(t, t.Context(), "tcp", "tcp", func(o *Options) { o.Trusted = false })
	s.expect(t, s.primary, "startup!")
	s.send(t, s.primary, string(frame('R', u32(7))))
	s.send(t, s.client, string(frame('p', "token")))
	s.expect(t, s.primary, string(frame('p', "token")))
	last := string(frame('R', u32(8)+"final")) + string(frame('R', u32(0))) + string(frame('Z', "I"))
	s.send(t, s.primary, last)
	s.expect(t, s.client, string(frame('R', u32(7)))+last)
	s.send(t, s.client, string(frame('Q', "q\x00")))
	s.expect(t, s.primary, string(frame('Q', "q\x00")))
}

// OAUTHBEARER of PostgreSQL 18, played, as no validator can be had: a connection that learns where the token is to
// be got, and one that brings it. The token is long, and AuthenticationOk follows it at once.
func TestLoginByOAuth(t *testing.T) {
	offer := string(frame('R', u32(10)+"OAUTHBEARER\x00\x00"))
	response := func(auth string) string {
		text := "n,,\x01auth=" + auth + "\x01\x01"
		return string(frame('p', "OAUTHBEARER\x00"+u32(uint32(len(text)))+text))
	}
	begin := func(answer string) *session {
		s := run(t, t.Context(), "tcp", "tcp", func(o *Options) { o.Trusted = false })
		s.expect(t, s.primary, "startup!")
		s.send(t, s.primary, offer)
		s.expect(t, s.client, offer)
		s.send(t, s.client, answer)
		s.expect(t, s.primary, answer)
		return s
	}
	discovery := begin(response(""))
	where := string(frame('R', u32(11)+`{"status":"invalid_token","openid-configuration":"https://id.example/x","scope":"s"}`))
	discovery.send(t, discovery.primary, where)
	discovery.expect(t, discovery.client, where)
	discovery.send(t, discovery.client, string(frame('p', "\x01")))
	discovery.expect(t, discovery.primary, string(frame('p', "\x01")))
	failed := string(frame('E', "SFATAL\x00VFATAL\x00C28000\x00MOAuth bearer authentication failed for user \"u\"\x00\x00"))
	discovery.send(t, discovery.primary, failed)
	discovery.expect(t, discovery.client, failed)
	if code, told := refusedWith(discovery.end(t)); code != pgerror.InvalidAuthorization || !told {
		t.Errorf("refused with %s, told %v", code, told)
	}

	s := begin(response("Bearer " + strings.Repeat("t", 16<<10)))
	in := string(frame('R', u32(0))) + string(frame('Z', "I"))
	s.send(t, s.primary, in)
	s.expect(t, s.client, in)
	s.send(t, s.client, string(frame('Q', "q\x00")))
	s.expect(t, s.primary, string(frame('Q', "q\x00")))
}

// GSS without encryption, played: tokens go both ways until the primary has enough, and may hold any byte.
func TestLoginByGSS(t *testing.T) {
	s := run(t, t.Context(), "tcp", "tcp", func(o *Options) { o.Trusted = false })
	s.expect(t, s.primary, "startup!")
	for _, step := range []struct{ primary, client string }{
		{u32(7), "\x60\x00\xff" + strings.Repeat("k", 4<<10)},
		{u32(8) + "\x00more", "\x00"},
		{u32(8) + "R\x00\x00", "p\x00\x00\x00\x04"},
	} {
		ask, answer := string(frame('R', step.primary)), string(frame('p', step.client))
		s.send(t, s.primary, ask)
		s.expect(t, s.client, ask)
		s.send(t, s.client, answer)
		s.expect(t, s.primary, answer)
	}
	in := string(frame('R', u32(0))) + string(frame('Z', "I"))
	s.send(t, s.primary, in)
	s.expect(t, s.client, in)
	s.send(t, s.client, string(frame('Q', "q\x00")))
	s.expect(t, s.primary, string(frame('Q', "q\x00")))
}

func TestLoginRefusals(t *testing.T) {
	for _, tc := range []struct {
		name   string
		from   string // what the primary says
		client string // what the client answers
		code   pgerror.Code
		told   bool
	}{
		{"unproven", string(frame('R', u32(0))), "", "28000", false},
		{"the primary's own", string(frame('E', "SFATAL\x00VFATAL\x00C53300\x00Mfull\x00\x00")), "", "53300", true},
		{"not an answer", string(frame('R', u32(3))), string(frame('Q', "x\x00")), "08P01", false},
		{"answer too long", string(frame('R', u32(3))), "p\x00\x02\x00\x00", "08P01", false},
		{"question too long", "R\x7f\xff\xff\xff", "", "57P03", false},
		{"ready too early", string(frame('Z', "I")), "", "08P01", false},
		{"many questions", strings.Repeat(string(frame('R', u32(8))), 9), "", "08P01", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := run(t, t.Context(), "tcp", "unix", func(o *Options) { o.Trusted = false })
			s.expect(t, s.primary, "startup!")
			s.send(t, s.primary, tc.from)
			if tc.client != "" {
				s.send(t, s.client, tc.client)
			}
			got := make(chan string, 1)
			go func() { b, _ := io.ReadAll(s.primary); s.primary.Close(); got <- string(b) }()
			code, told := refusedWith(s.end(t))
			if code != tc.code || told != tc.told {
				t.Errorf("refused with %s, told %v", code, told)
			}
			if sent := strings.TrimPrefix(<-got, "X\x00\x00\x00\x04"); sent != "" {
				t.Errorf("the primary got %q", sent)
			}
		})
	}
}

// A primary that takes no connections yet may be asked again: the client has been told nothing.
func TestLoginAgain(t *testing.T) {
	starting := string(frame('E', "SFATAL\x00VFATAL\x00C57P03\x00Mthe database system is starting up\x00\x00"))
	minor := string(frame('v', u32(0x30000)+u32(0)))
	for _, tc := range []struct {
		name, from string
		again      bool
		want       error  // nil: the primary's own refusal
		told       string // to the client
	}{
		{"again", starting, true, ErrAgain, ""},
		{"again, after a minor version", minor + starting, true, ErrAgain, ""},
		{"hangs up", "", true, ErrAgain, ""},
		{"no more", starting, false, nil, starting},
		{"no more, after a minor version", minor + starting, false, nil, minor + starting},
		{"after a question", string(frame('R', u32(3))) + starting, true, nil, string(frame('R', u32(3))) + starting},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := run(t, t.Context(), "tcp", "tcp", func(o *Options) { o.Again = func() bool { return tc.again } })
			s.expect(t, s.primary, "startup!")
			s.send(t, s.primary, tc.from)
			s.primary.Close()
			s.expect(t, s.client, tc.told)
			err := s.end(t)
			if _, told := refusedWith(err); tc.want == nil && !told || tc.want != nil && !errors.Is(err, tc.want) {
				t.Errorf("ended with %v", err)
			}
			if rest, _ := io.ReadAll(s.client); len(rest) > 0 {
				t.Errorf("the client got %q as well", rest)
			}
		})
	}
}

func TestLoginLosesTheClient(t *testing.T) {
	s := run(t, t.Context(), "tcp", "tcp", nil)
	s.expect(t, s.primary, "startup!")
	s.send(t, s.primary, string(frame('R', u32(5)+"salt")))
	s.client.Close()
	if _, err := io.ReadAll(s.primary); err != nil {
		t.Errorf("the primary: %v", err)
	}
	s.primary.Close()
	if err := s.end(t); !brokenBy(err, Client) {
		t.Errorf("ended with %v", err)
	}
}

func TestLoginEndsWithItsContext(t *testing.T) {
	for _, ask := range []string{"", string(frame('R', u32(3)))} {
		ctx, cancel := context.WithCancel(t.Context())
		s := run(t, ctx, "tcp", "tcp", nil)
		s.expect(t, s.primary, "startup!")
		s.send(t, s.primary, ask)
		s.expect(t, s.client, ask)
		cancel()
		if code, told := refusedWith(s.end(t)); code != pgerror.AdminShutdown || told {
			t.Errorf("ended with %s, told %v", code, told)
		}
	}
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte(string(frame('R', u32(0)))+string(frame('Z', "I"))), []byte(nil))
	f.Add([]byte(string(frame('R', u32(3)))+string(frame('R', u32(0)))), []byte(string(frame('p', "x\x00"))))
	f.Add([]byte("E\x00\x00\x00\x04"), []byte("p"))
	f.Fuzz(func(t *testing.T, upstream, client []byte) {
		// The legs read the fuzzer's bytes; what they make of them is judged by authwatch's own tests.
		for _, in := range [][]byte{upstream, client} {
			l := newLeg(bytesConn(in))
			for {
				typ, body, err := l.frame(authwatch.MaxAnswer)
				if err != nil {
					break
				}
				if len(body) > authwatch.MaxAnswer {
					t.Fatalf("frame %q of %d bytes", typ, len(body))
				}
			}
		}
	})
}

// The time of a log-in bounds the client's answers. How long the primary takes for the session is its own affair, as it
// is for a direct client, and a client that leaves meanwhile ends the wait.
func TestAuthenticationTimeoutEndsWithAuthentication(t *testing.T) {
	const short = 50 * time.Millisecond
	begin := func() *session {
		s := run(t, t.Context(), "tcp", "tcp", func(o *Options) { o.LoginTimeout = short })
		s.expect(t, s.primary, "startup!")
		return s
	}
	later := func() { <-time.After(3 * short) } // what is to be bounded would strike
	for _, ask := range []string{"", string(frame('R', u32(3))), string(frame('R', u32(0)))} {
		s := begin()
		s.send(t, s.primary, ask)
		s.expect(t, s.client, ask)
		if ask == string(frame('R', u32(3))) {
			s.send(t, s.client, string(frame('p', "pw\x00")))
			s.expect(t, s.primary, string(frame('p', "pw\x00")))
		}
		later()
		rest := string(frame('Z', "I"))
		if ask != string(frame('R', u32(0))) {
			rest = string(frame('R', u32(0))) + rest
		}
		s.send(t, s.primary, rest)
		s.expect(t, s.client, rest)
		s.send(t, s.client, "Q")
		s.expect(t, s.primary, "Q")
	}
	s := begin()
	s.send(t, s.primary, string(frame('R', u32(3))))
	s.expect(t, s.client, string(frame('R', u32(3))))
	if code, told := refusedWith(s.end(t)); code != pgerror.QueryCanceled || told {
		t.Errorf("a client that owes an answer ended with %s, told %v", code, told)
	}
}
