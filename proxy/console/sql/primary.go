package sql

import (
	"strconv"

	"github.com/replproxy/replproxy/proxy/console/datum"
)

// list reads expressions up to a parenthesis.
func (p *parser) list() (all []*node) {
	for {
		all = append(all, p.expr(0))
		if p.take(")") {
			return all
		}
		p.want(",")
	}
}

// primary reads a literal, a name, a call or a parenthesis.
func (p *parser) primary() *node {
	t := p.peek()
	switch n := (&node{text: t.Text, at: t.at}); {
	case t.Kind == String || t.Kind == Number || t.Kind == Parameter:
		p.next()
		n.kind = map[Kind]string{String: "string", Number: "number", Parameter: "parameter"}[t.Kind]
		if t.Kind == String && p.peek().Kind == String {
			throw(unsupported("a literal in two parts"), p.peek().at)
		}
		return n
	case t.Is("true", "false", "null"):
		p.next()
		n.kind = t.Text
		return n
	case t.Is("current_timestamp", "current_user", "session_user", "user"):
		p.next()
		n.kind, n.of = "call", "()"
		if p.peek().Is("(") {
			p.refuse()
		}
		return n
	case t.Is("("):
		p.next()
		if p.peek().Is("select", "values", "with", "table") {
			p.refuse()
		}
		n = p.expr(0)
		if p.peek().Is(",") {
			throw(unsupported("a row"), p.peek().at)
		}
		p.want(")")
		if p.peek().Is(".", "[") {
			p.refuse()
		}
		return n
	case t.Is("case"):
		return p.caseOf()
	case t.Is("cast"):
		p.next()
		p.want("(")
		n = &node{kind: "cast", at: t.at, kids: []*node{p.expr(0)}}
		p.want("as")
		n.text = p.typeName()
		p.want(")")
		return n
	case t.Kind == Symbol && t.Text != ")" && t.Text != ",": // a prefix operator, an array
		p.refuse()
	}
	return p.nameOrCall()
}

func (p *parser) caseOf() *node {
	n := &node{kind: "case", at: p.next().at, kids: []*node{nil}}
	if !p.peek().Is("when") {
		n.kids[0] = p.expr(0)
	}
	for p.take("when") {
		n.kids = append(n.kids, p.expr(0))
		p.want("then")
		n.kids = append(n.kids, p.expr(0))
	}
	if len(n.kids) == 1 {
		p.want("when")
	}
	if n.kids = append(n.kids, nil); p.take("else") {
		n.kids[len(n.kids)-1] = p.expr(0)
	}
	p.want("end")
	return n
}

// typeName reads the name of a type and returns its OID as digits.
func (p *parser) typeName() string {
	t := p.peek()
	if t.Kind != Word && t.Kind != Quoted || has(reserved, t.Text) {
		throw(wrong(t), t.at)
	}
	name := p.next().Text
	if name == catalog && t.Kind == Word && p.take(".") {
		name = p.next().Text
	}
	switch {
	case p.takeAll("with", "time", "zone"):
		name += " with time zone"
	case name == "double":
		p.want("precision")
		name += " precision"
	}
	oid := datum.Named(name)
	if oid == 0 {
		throw(unsupported("type "+name), t.at)
	}
	if next := p.peek(); next.Is("(", "[", "array", "year", "month", "day", "hour", "minute", "second", ".") {
		p.refuse()
	}
	return strconv.Itoa(int(oid))
}
