package hostile

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// begin sends a startup packet and reads the question.
func (p *peer) begin(words ...string) *peer {
	p.dial().send(parameters(append([]string{"user", "postgres", "database", "postgres"}, words...)...))
	p.await('R')
	return p
}

// initial is a SASLInitialResponse.
func initial(mechanism, message string) []byte {
	return frame('p', mechanism+"\x00"+string(binary.BigEndian.AppendUint32(nil, uint32(len(message))))+message)
}

const (
	scram      = "SCRAM-SHA-256"
	clientNone = "n,,n=,r=rOprNGfwEbeRWgbNEkqOAAAA"
)

// logIns are hostile exchanges behind a startup packet: each is played as an application's and as a standby's.
func logIns() []attack {
	var all []attack
	as := func(name, want, postgres string, play func(p *peer)) {
		app, standby := func(p *peer) { p.begin(); play(p) }, func(p *peer) { p.begin("replication", "true"); play(p) }
		all = append(all, attack{name: "log-in: " + name, want: want, postgres: postgres, play: app},
			attack{name: "walsender's log-in: " + name, want: want, postgres: postgres, play: standby})
	}
	add := func(name, want string, play func(p *peer)) { as(name, want, "", play) }
	send := func(b ...[]byte) func(*peer) { return func(p *peer) { p.send(b...) } }

	add("Query for an answer", "08P01 closed", send(query("IDENTIFY_SYSTEM")))
	add("CopyData for an answer", "08P01 closed", send(frame('d', "r")))
	add("Terminate for an answer", "08P01 closed", send(frame('X', "")))
	add("the end for an answer", "closed", func(p *peer) { p.half() })
	as("half an answer, then the end", "closed", "28P01 closed", func(p *peer) { p.send(initial(scram, clientNone)[:20]).half() })
	as("answer of 1 GB", "08P01 closed", "28P01 closed", send(header('p', 1<<30)))
	as("answer of -1 bytes", "08P01 closed", "28P01 closed", send(header('p', 0xffffffff)))
	all[len(all)-1].want = "closed" // what can be no frame is a lost connection there
	add("empty answer", "08P01 closed", send(frame('p', "")))
	add("mechanism that does not exist", "08P01 closed", send(initial("SCRAM-MD5", clientNone)))
	add("mechanism without an end", "08P01 closed", send(frame('p', strings.Repeat("S", 1000))))
	add("initial response of 2 GB", "08P01 closed", send(frame('p', scram+"\x00\x7f\xff\xff\xff"+clientNone)))
	add("initial response of -2 bytes", "08P01 closed", send(frame('p', scram+"\x00\xff\xff\xff\xfe"+clientNone)))
	add("channel binding that was not offered", "08P01 closed", send(initial("SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,n=,r=x")))
	add("nonce of 60 kB", "28P01 closed", send(initial(scram, "n,,n=,r="+strings.Repeat("x", 60_000)), frame('p', "c=biws,r=x,p=x")))
	add("message without a nonce", "08P01 closed", send(initial(scram, "n,,n=")))
	add("message of NULs", "08P01 closed", send(initial(scram, strings.Repeat("\x00", 100))))
	add("nonce of another exchange", "continue 08P01 closed", send(initial(scram, clientNone),
		frame('p', "c=biws,r=rOprNGfwEbeRWgbNEkqOsomethingelse,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=")))
	add("both answers at once", "continue 08P01 closed", send(append(initial(scram, clientNone), frame('p', "")...)))
	add("commands behind the first answer", "continue 08P01 closed", send(append(initial(scram, clientNone), query("IDENTIFY_SYSTEM")...)))
	add("an exchange replayed", "continue 08P01 closed", func(p *peer) { p.send(p.recording()...) })
	add("wrong password", "", func(p *peer) {
		if _, err := p.honest(p.conninfo("password=wrong"), nil); err == nil || !strings.Contains(err.Error(), "28P01") {
			p.fail("%v", err)
		}
	})
	add("role that does not exist", "", func(p *peer) {
		if _, err := p.honest(p.conninfo("user=nobody"), nil); err == nil || !strings.Contains(err.Error(), "28P01") {
			p.fail("%v", err)
		}
	})
	all = append(all, attack{
		name: "log-in: database replproxy, the console, without an answer", want: "asked 08P01 closed", postgres: "-",
		play: func(p *peer) {
			p.dial().send(parameters("user", "postgres", "database", "replproxy"), query("SHOW STATUS"))
		},
	})
	return all
}

// recording returns an honest client's answers in another session.
func (p *peer) recording() [][]byte {
	if p.err != nil {
		return nil
	}
	var record recorder
	h, err := p.honest(p.conninfo(), &record)
	if err != nil {
		p.fail("record: %w", err)
		return nil
	}
	p.closers = append(p.closers, h.Conn)
	b := record.sent
	b = b[binary.BigEndian.Uint32(b):] // without the startup packet
	n := 1 + binary.BigEndian.Uint32(b[1:])
	if !bytes.HasPrefix(b[5:], []byte(scram)) || b[n] != 'p' {
		p.fail("recorded %q", b)
		return nil
	}
	return [][]byte{b[:n], b[n:]}
}
