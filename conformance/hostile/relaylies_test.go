package hostile

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// victim is the application_name of sessions that are lied to.
const victim = "application_name\x00victim\x00"

// toVictim replaces the first message of a victim's log-in that has this type; 0: the very first one.
func toVictim(typ byte, b ...[]byte) edit {
	return func(l *leg, t byte, body []byte) []byte {
		if !strings.Contains(l.startup, victim) || l.loggedIn || t != typ && (typ != 0 || l.number > 0) {
			return whole(t, body)
		}
		return bytes.Join(b, nil)
	}
}

// TestHostileUpstreamOfLogIns: what a primary may say while a client logs in through the proxy. The client is told
// that it is not in, or what the primary said, and the proxy goes on.
func TestHostileUpstreamOfLogIns(t *testing.T) {
	in := pgtest.Need(t, 15)
	primary := in.Primary(t)
	s := &stage{primary: primary, way: startForwarder(t, primary.Port)}
	s.proxy = pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: s.way.conninfo()})
	asks := func(kind uint32, rest string) []byte {
		return frame('R', string(binary.BigEndian.AppendUint32(nil, kind))+rest)
	}
	ok, flood := asks(0, ""), many(frame('N', "SNOTICE\x00C00000\x00M"+strings.Repeat("x", 1000)+"\x00\x00"), 200_000)
	for name, c := range map[string]struct {
		edit      edit
		app       string // what an application is told
		walsender string // what a walsender is; "": the same
	}{
		"authentication without a kind":     {toVictim(0, frame('R', "")), "08P01 closed", ""},
		"SASL without an end, then nothing": {toVictim(0, asks(10, "SCRAM-SHA-256")), "asked", ""},
		"six questions at once":             {toVictim(0, many(asks(3, ""), 6)), "asked asked asked asked", "asked asked asked asked asked asked"},
		"ready before it is over":           {toVictim(0, ready), "08P01 closed", ""},
		"key before it is over":             {toVictim(0, frame('K', "\x00\x00\x00\x01\x00\x00\x00\x02")), "08P01 closed", ""},
		"stream at once":                    {toVictim(0, frame('W', "\x00\x00\x00")), "08P01 closed", ""},
		"length of 0":                       {toVictim(0, []byte{'R', 0, 0, 0, 0}), "57P03 closed", ""},
		"length of -1":                      {toVictim(0, header('R', math.MaxUint32)), "57P03 closed", ""},
		"message of 2 GB":                   {toVictim(0, header('S', math.MaxInt32)), "57P03 closed", ""},
		"error without a SQLSTATE":          {toVictim(0, noSQLState), "malformed closed", ""},
		"error without an end":              {toVictim(0, noEnd), "malformed closed", ""},
		"error of protocol 2.0":             {toVictim(0, []byte("Esorry, too many clients already\n\x00")), "57P03 closed", ""},
		"key of 3 bytes":                    {toVictim('K', frame('K', "\x00\x00\x00"), ready), "ok ready", "ok 08P01 closed"},
		"key of 10 kB":                      {toVictim('K', frame('K', string(make([]byte, 10_000))), ready), "ok ready", "ok 08P01 closed"},
		"no version":                        {toVictim('S', ok), "ok", "ok"},
		"200 MB of notices":                 {toVictim(0, flood, ok, ready), "ok ready", "57P03 closed"},
	} {
		t.Run(name, func(t *testing.T) {
			s.way.set(c.edit)
			for words, want := range map[string]string{"": c.app, "replication": c.walsender} {
				if words != "" && want == "" {
					want = c.app
				}
				a := attack{play: func(p *peer) {
					all := []string{"user", "postgres", "application_name", "victim", "database", "postgres"}
					if words != "" {
						all = append(all, words, "true")
					}
					p.dial().send(parameters(all...))
				}}
				if err := a.run(t.Context(), &world{primary: primary}, s.proxy.Port, want); err != nil {
					t.Errorf("as %q: %v", words, err)
				}
			}
			if most := s.peak(t); float64(most) > allowed(mostMemory) {
				t.Errorf("the proxy took %d MB", most>>20)
			}
		})
	}
	s.way.set(nil)
	s.follows(t)
	if got := s.proxy.SQL(t, "SELECT 1")[0][0]; got != "1" {
		t.Errorf("SELECT 1 gives %s", got)
	}
}

func (f *forwarder) conninfo() string {
	return "host=127.0.0.1 port=" + strconv.Itoa(f.port) + " user=postgres dbname=postgres sslmode=disable"
}
