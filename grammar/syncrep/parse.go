package syncrep

import (
	"math"
	"strings"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

// Parse reads a setting. The empty text is the empty rule; blanks alone are an error, as in
// PostgreSQL. Every error is a *[pgerror.Error] with PostgreSQL's words: 42601 with a DETAIL for
// syntax, 22023 for a count that is not above zero. The text ends at its first NUL.
func Parse(text string) (Rule, error) {
	text, _, _ = strings.Cut(text, "\x00")
	if text == "" {
		return Rule{}, nil
	}
	p := parser{rest: text}
	p.advance()
	r := p.rule()
	if p.complaint != "" {
		return Rule{}, pgerror.New(pgerror.SyntaxError,
			"invalid value for parameter \"synchronous_standby_names\": \"%s\"", text).
			WithDetail("%s", p.complaint)
	}
	if r.Count <= 0 {
		return Rule{}, pgerror.New(pgerror.InvalidParameterValue,
			"number of synchronous standbys (%d) must be greater than zero", r.Count)
	}
	return r, nil
}

type kind uint8

const (
	end kind = iota
	name
	number
	anyWord
	firstWord
	punctuation // one of , ( )
	junk
)

type token struct {
	kind kind
	text string // the name's or number's value, the punctuation
	raw  string // what a complaint shows
}

// parser looks one token ahead. Only the first complaint is kept.
type parser struct {
	rest      string
	tok       token
	complaint string
}

func (p *parser) rule() Rule {
	r := Rule{Method: First, Count: 1}
	switch p.tok.kind {
	case anyWord, firstWord:
		if p.tok.kind == anyWord {
			r.Method = Any
		}
		p.advance()
		r.Count = atoi(p.expect(number))
		r.Names = p.parenthesised()
	case number:
		// "2 (" begins a count, any other number is the name of a standby.
		n := p.expect(number)
		if p.tok.text == "(" && p.tok.kind == punctuation {
			r.Count, r.Names = atoi(n), p.parenthesised()
		} else {
			r.Names = p.more([]string{n})
		}
	default:
		r.Names = p.list()
	}
	if p.tok.kind != end {
		p.syntaxError()
	}
	return r
}

func (p *parser) parenthesised() []string {
	p.punctuation("(")
	names := p.list()
	p.punctuation(")")
	return names
}

func (p *parser) list() []string { return p.more([]string{p.name()}) }

// more reads the rest of a list behind its first name.
func (p *parser) more(names []string) []string {
	for p.tok.kind == punctuation && p.tok.text == "," {
		p.advance()
		names = append(names, p.name())
	}
	return names
}

func (p *parser) name() string {
	if p.tok.kind == number {
		return p.expect(number)
	}
	return p.expect(name)
}

func (p *parser) expect(k kind) string {
	t := p.tok
	if t.kind != k {
		p.syntaxError()
		return ""
	}
	p.advance()
	return t.text
}

func (p *parser) punctuation(s string) {
	if p.tok.kind != punctuation || p.tok.text != s {
		p.syntaxError()
		return
	}
	p.advance()
}

func (p *parser) syntaxError() { p.complain("syntax error") }

// complain keeps the first complaint and ends the input, so that every rule above comes to its end.
func (p *parser) complain(what string) {
	if p.complaint == "" {
		where := " at end of input"
		if p.tok.raw != "" {
			where = " at or near \"" + p.tok.raw + "\""
		}
		p.complaint = what + where
	}
	p.rest, p.tok = "", token{}
}

// advance scans the next token.
func (p *parser) advance() {
	p.rest = strings.TrimLeft(p.rest, " \t\n\r\f\v")
	if p.rest == "" {
		p.tok = token{}
		return
	}
	switch c := p.rest[0]; {
	case isNameStart(c):
		w := p.take(span(p.rest, isNameCont))
		p.tok = token{kind: name, text: w, raw: w}
		if equalFold(w, "any") {
			p.tok.kind = anyWord
		} else if equalFold(w, "first") {
			p.tok.kind = firstWord
		}
	case isDigit(c):
		n := p.take(span(p.rest, isDigit))
		p.tok = token{kind: number, text: n, raw: n}
	case c == '*':
		p.tok = token{kind: name, text: p.take(1), raw: Wildcard}
	case c == '"':
		p.quoted()
	case strings.IndexByte(",()", c) >= 0:
		s := p.take(1)
		p.tok = token{kind: punctuation, text: s, raw: s}
	default:
		p.tok = token{kind: junk, raw: p.take(1)}
	}
}

// quoted scans a quoted name; a doubled quote stands for one. A complaint about it shows the last
// piece that PostgreSQL's scanner matched, the closing quote.
func (p *parser) quoted() {
	var b strings.Builder
	for rest := p.rest[1:]; ; {
		before, after, closed := strings.Cut(rest, `"`)
		b.WriteString(before)
		if !closed {
			p.tok = token{}
			p.complain("unterminated quoted identifier")
			return
		}
		if !strings.HasPrefix(after, `"`) {
			p.rest = after
			p.tok = token{kind: name, text: b.String(), raw: `"`}
			return
		}
		b.WriteByte('"')
		rest = after[1:]
	}
}

func (p *parser) take(n int) string {
	s := p.rest[:n]
	p.rest = p.rest[n:]
	return s
}

// atoi reads digits as C's atoi does on a 64-bit machine: the value saturates at 64 bits, then its
// low 32 bits remain.
func atoi(digits string) int32 {
	var n int64
	for i := 0; i < len(digits); i++ {
		d := int64(digits[i] - '0')
		if n > (math.MaxInt64-d)/10 {
			return -1
		}
		n = n*10 + d
	}
	return int32(uint32(n))
}
