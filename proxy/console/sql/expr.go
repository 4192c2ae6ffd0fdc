package sql

import ()

// The strengths of operators, as PostgreSQL's grammar orders them.
const (
	strengthOr = iota + 1
	strengthAnd
	strengthNot
	strengthIs
	strengthCompare
	strengthLike
	strengthOther
	strengthSum
	strengthProduct
	strengthPower
	strengthSign
)

// strength returns the strength of an infix operator; 0 for what is none.
func strength(t Token) int {
	switch {
	case t.Kind == Symbol && (t.Text[0] == ':' || t.Is(",", "(", ")", "[", "]", ".", "..", ";")):
		return 0
	case t.Is("or"):
		return strengthOr
	case t.Is("and"):
		return strengthAnd
	case t.Is("is", "isnull", "notnull"):
		return strengthIs
	case t.Is("=", "<", ">", "<=", ">=", "<>"):
		return strengthCompare
	case t.Is("between", "in", "like", "ilike", "not"):
		return strengthLike
	case t.Is("+", "-"):
		return strengthSum
	case t.Is("*", "/", "%"):
		return strengthProduct
	case t.Is("^", "at", "collate", "similar", "operator", "escape"):
		return strengthPower
	case t.Kind == Symbol:
		return strengthOther
	}
	return 0
}

// ends reports whether a token ends an expression.
func ends(t Token) bool {
	return t.Kind == End || t.Is(",", ";", "from", "into", "where", "order", "limit", "offset", "group", "having",
		"window", "union", "intersect", "except", "for", "fetch")
}

// expr reads an expression whose operators are stronger than least.
func (p *parser) expr(least int) *node {
	if p.depth++; p.depth > maxDepth {
		throw(errDeep(), p.peek().at)
	}
	p.count()
	defer func() { p.depth-- }()
	left, last := p.prefix(), 0
	for {
		t := p.peek()
		s := strength(t)
		if s <= least {
			return left
		}
		if s == last && s == strengthCompare { // they do not associate
			throw(wrong(t), t.at)
		} else if s == last && (s == strengthIs || s == strengthLike) { // some do
			throw(unsupported(t.raw), t.at)
		}
		if last = s; t.Kind == Word && len(p.tokens) > 1 && ends(p.tokens[1]) && !t.Is("isnull", "notnull") { // a name
			throw(unsupported(t.raw), t.at)
		}
		p.count()
		switch s {
		case strengthOr, strengthAnd, strengthCompare, strengthOther, strengthSum, strengthProduct:
			p.next()
			left = &node{kind: "op", text: t.Text, at: t.at, kids: []*node{left, p.expr(s)}}
		case strengthIs:
			left = p.is(left)
		case strengthLike:
			left = p.like(left)
		default:
			p.refuse()
		}
	}
}

// prefix reads an operand with the signs and casts about it.
func (p *parser) prefix() *node {
	switch t := p.peek(); {
	case t.Is("not"):
		p.next()
		return &node{kind: "not", at: t.at, kids: []*node{p.expr(strengthNot - 1)}}
	case t.Is("-", "+"):
		p.next()
		operand := p.expr(strengthSign)
		if operand.kind == "number" && t.Text == "-" && operand.text[0] != '-' {
			return &node{kind: "number", text: "-" + operand.text, at: t.at}
		}
		return &node{kind: "sign", text: t.Text, at: t.at, kids: []*node{operand}}
	}
	n := p.primary()
	for p.peek().Is("::") {
		p.count()
		at := p.next().at
		n = &node{kind: "cast", at: at, kids: []*node{n}, text: p.typeName()}
	}
	return n
}

// is reads IS and the like behind an operand.
func (p *parser) is(left *node) *node {
	t := p.next()
	switch t.Text {
	case "isnull":
		return &node{kind: "is", text: "null", at: t.at, kids: []*node{left}}
	case "notnull":
		return &node{kind: "is", text: "not null", at: t.at, kids: []*node{left}}
	}
	n := &node{kind: "is", at: t.at, kids: []*node{left}}
	if p.take("not") {
		n.text = "not "
	}
	switch what := p.next(); {
	case what.Is("null", "true", "false", "unknown"):
		n.text += what.Text
	case what.Is("distinct"):
		p.want("from")
		n.text += "distinct"
		n.kids = append(n.kids, p.expr(strengthIs))
	case what.Is("document", "normalized", "json", "nfc", "nfd", "nfkc", "nfkd", "of"):
		throw(unsupported("IS "+what.raw), what.at)
	default:
		throw(wrong(what), what.at)
	}
	return n
}

// like reads IN, LIKE, ILIKE and BETWEEN, with NOT or without, behind an operand.
func (p *parser) like(left *node) *node {
	t := p.next()
	not := t.Is("not")
	if not {
		if t = p.next(); !t.Is("in", "like", "ilike", "between") {
			if t.Is("similar") {
				throw(unsupported(t.raw), t.at)
			}
			throw(wrong(t), t.at)
		}
	}
	n := &node{kind: t.Text, at: t.at, kids: []*node{left}}
	if not {
		n.text = "not"
	}
	switch t.Text {
	case "in":
		p.want("(")
		if p.peek().Is("select", "values", "with", "table") {
			p.refuse()
		}
		n.kids = append(n.kids, p.list()...)
	case "between":
		low := p.expr(strengthLike)
		p.want("and")
		n.kids = append(n.kids, low, p.expr(strengthLike))
	default:
		n.kids = append(n.kids, p.expr(strengthLike))
		if p.peek().Is("escape") {
			p.refuse()
		}
		n.kind, n.text = "op", map[string]string{"like": "~~", "ilike": "~~*"}[t.Text]
		if not {
			n.text = "!" + n.text
		}
	}
	return n
}
