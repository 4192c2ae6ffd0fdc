package trace

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/replproxy/replproxy/conformance/corpus"
)

// message is one message of a server as it stands on the wire, its length left out.
type message struct {
	typ  byte
	body []byte
}

// setAside are the fields of an error that tell where in PostgreSQL's sources it was raised: file,
// line, routine. They move with every minor version and no client may depend on them.
const setAside = "FLR"

// describe prints a message with everything that a client can depend on, type and fields in their
// order. CopyData is the stream's business.
func (m message) describe() string {
	c := &cursor{b: m.body}
	text := string(m.typ)
	switch m.typ {
	case 'E', 'N':
		text += c.fields()
	case 'T':
		text += c.columns()
	case 'D':
		text += c.values()
	case 'R':
		text += c.authentication()
	case 'K':
		c.take(4)
		text += fmt.Sprintf(" pid, key of %d bytes", len(c.take(len(c.b))))
	case 'S':
		text += " " + c.text() + "=" + c.text()
	case 'C':
		text += " " + c.text()
	case 'Z':
		text += " " + string(c.take(1))
	case 'v':
		version := c.int32()
		text += fmt.Sprintf(" %d.%d", version>>16, version&0xffff)
		for range c.int32() {
			text += " " + c.text()
		}
	case 'W', 'H', 'G':
		text += fmt.Sprintf(" format %d columns %d", c.take(1)[0], c.int16())
	case 'c', 'I', 'n', '1', '2', '3', 't', 's':
	default:
		return fmt.Sprintf("%q %x", m.typ, m.body)
	}
	if c.short || len(c.b) > 0 {
		return fmt.Sprintf("malformed %q %x", m.typ, m.body)
	}
	return text
}

// Kinds of authentication whose messages are those of SASL.
const (
	saslStart    = 10
	saslContinue = 11
	saslFinal    = 12
)

// cursor reads the parts of a message. short: there was less than asked for.
type cursor struct {
	b     []byte
	short bool
}

func (c *cursor) take(n int) []byte {
	if n > len(c.b) {
		c.short = true
		return make([]byte, n)
	}
	part := c.b[:n]
	c.b = c.b[n:]
	return part
}

func (c *cursor) int16() int16 { return int16(binary.BigEndian.Uint16(c.take(2))) }
func (c *cursor) int32() int32 { return int32(binary.BigEndian.Uint32(c.take(4))) }

// text returns a string up to its NUL, escaped so that it stays on one line.
func (c *cursor) text() string {
	end := bytes.IndexByte(c.b, 0)
	if end < 0 {
		c.short = true
		return ""
	}
	return corpus.Escape(string(c.take(end + 1)[:end]))
}

func (c *cursor) fields() string {
	var shown []string
	for len(c.b) > 0 {
		code := c.take(1)[0]
		if code == 0 {
			break
		}
		if value := c.text(); !strings.ContainsRune(setAside, rune(code)) {
			shown = append(shown, string(code)+" "+value)
		}
	}
	return " " + strings.Join(shown, " | ")
}

func (c *cursor) columns() string {
	var shown []string
	for range c.int16() {
		text := c.text()
		table, attribute := c.int32(), c.int16()
		text += fmt.Sprintf(" type %d len %d mod %d", c.int32(), c.int16(), c.int32())
		if format := c.int16(); table != 0 || attribute != 0 || format != 0 {
			text += fmt.Sprintf(" table %d.%d format %d", table, attribute, format)
		}
		shown = append(shown, text)
	}
	return " " + strings.Join(shown, " | ")
}

func (c *cursor) values() string {
	text := ""
	for range c.int16() {
		size := c.int32()
		if size < 0 {
			text += " NULL"
			continue
		}
		text += ` "` + corpus.Escape(string(c.take(int(size)))) + `"`
	}
	return text
}

func (c *cursor) authentication() string {
	switch kind := c.int32(); kind {
	case 0:
		return " ok"
	case 3:
		return " password"
	case 5:
		c.take(4)
		return " md5, salt"
	case saslStart:
		return " SASL " + strings.Join(strings.Split(strings.Trim(string(c.take(len(c.b))), "\x00"), "\x00"), " ")
	case saslContinue, saslFinal:
		step := map[int32]string{saslContinue: " SASL continue ", saslFinal: " SASL final "}[kind]
		return step + shape(string(c.take(len(c.b))))
	default:
		return fmt.Sprintf(" kind %d, %d bytes", kind, len(c.take(len(c.b))))
	}
}
