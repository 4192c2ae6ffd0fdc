package sql

import (
	"strconv"

	"github.com/replproxy/replproxy/proxy/console/datum"
)

// nameOrCall reads a column, a call of a function, or a literal behind the name of its type.
func (p *parser) nameOrCall() *node {
	t := p.next()
	if t.Kind != Quoted && (t.Kind != Word || has(reserved, t.Text)) {
		if t.Kind == Word && has(clauses, t.Text) {
			throw(unsupported(t.raw), t.at)
		}
		throw(wrong(t), t.at)
	}
	n := &node{kind: "column", text: t.Text, at: t.at}
	qualified := p.take(".")
	if qualified {
		n.of = n.text
		part := p.next()
		if part.Is("*") {
			n.kind = "star"
			return n
		}
		if part.Kind != Word && part.Kind != Quoted {
			throw(wrong(part), part.at)
		}
		n.text = part.Text
		if p.peek().Is(".") {
			p.refuse()
		}
	}
	switch next := p.peek(); {
	case next.Is("("):
		if qualified && n.of != catalog {
			throw(unsupported("schema "+n.of), t.at)
		}
		n.of = ""
		return p.call(n, t.Kind == Word && !qualified)
	case next.Is("["):
		p.refuse()
	case next.Kind == String && !qualified:
		oid := datum.Named(n.text)
		if oid == 0 {
			throw(unsupported("type "+n.text), t.at)
		}
		lit := p.next()
		if p.peek().Is("year", "month", "day", "hour", "minute", "second") {
			throw(unsupported(p.peek().raw), p.peek().at)
		}
		return &node{kind: "cast", of: "literal", at: t.at, text: strconv.Itoa(int(oid)),
			kids: []*node{{kind: "string", text: lit.Text, at: lit.at}}}
	case !qualified && t.Kind == Word && has(functionWords, t.Text):
		throw(wrong(next), next.at)
	case t.Is("timestamp") && next.Is("with"), t.Is("double") && next.Is("precision"):
		throw(unsupported("type "+t.Text), t.at)
	}
	return n
}

// call reads the arguments of a function. keyword: its name may be a keyword.
func (p *parser) call(n *node, keyword bool) *node {
	p.next()
	n.kind = "call"
	switch {
	case keyword && has(columnWords, n.text), keyword && has(" join natural cross inner left right full ", n.text):
		throw(unsupported(n.text+"(…)"), n.at)
	case keyword && has(" coalesce greatest least nullif extract ", n.text):
		n.kind = n.text
	}
	if n.kind == "extract" {
		field := p.next()
		if field.Kind != Word && field.Kind != String && field.Kind != Quoted {
			throw(wrong(field), field.at)
		}
		if n.of = lower(field.Text); n.of != "epoch" {
			throw(unsupported("extract("+field.raw+" …)"), field.at)
		}
		p.want("from")
		n.kids = p.list()
		if len(n.kids) != 1 {
			throw(unsupported("extract of several values"), n.at)
		}
		return n
	}
	switch {
	case n.kind != "call" && p.peek().Is("*"):
		throw(wrong(p.peek()), p.peek().at)
	case p.takeAll("*", ")"):
		n.of = "*"
	case p.peek().Is("*"):
		throw(wrong(p.tokens[1]), p.tokens[1].at)
	case n.kind == "call" && p.take(")"):
		n.of = "()"
	case p.peek().Is("distinct", "all", "variadic", "select", "values", "with", "table"):
		p.refuse()
	default:
		n.kids = p.list()
	}
	if n.kind == "nullif" && len(n.kids) != 2 {
		throw(unsupported("nullif of so many values"), n.at)
	}
	next := p.peek()
	if next.Is("over", ".", "[") || next.Is("filter", "within") && p.tokens[1].Is("(", "group") {
		p.refuse()
	}
	return n
}
