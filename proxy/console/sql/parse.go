package sql

import (
	"slices"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

// Statement is one statement of a query. Words has all of it, with a Token of kind End behind them.
type Statement struct {
	Words  []Token
	Select bool
	sel    *selection
}

// node is a part of an expression as it was written.
type node struct {
	kind string // column, star, string, number, parameter, true, false, null, call, cast, case, op, is …
	text string // name, literal or operator
	of   string // the table of a column; the argument's form of a call
	kids []*node
	at   int
}

// target is an output column. name: "" where the query gives it none.
type target struct {
	value *node
	name  string
}

// ordering is a part of ORDER BY.
type ordering struct {
	by          *node
	down        bool
	nulls       bool // first
	nullsStated bool
}

// selection is a SELECT as it was written.
type selection struct {
	targets       []target
	table, alias  string // "": none
	tableAt       int
	where         *node
	order         []ordering
	limit, offset *node
}

// parser reads the tokens of one statement.
type parser struct {
	tokens []Token
	depth  int
	nodes  int
}

// Parse splits a query into its statements. Empty ones are left out. The error is a *pgerror.Error.
func Parse(query string) (all []Statement, err error) {
	defer catch(&err)
	tokens := lex(query)
	for len(tokens) > 1 {
		n := slices.IndexFunc(tokens, func(t Token) bool { return t.Kind == End || t.Is(";") })
		end := tokens[n]
		if n > 0 {
			words := append(slices.Clone(tokens[:n]), end)
			s := Statement{Words: words}
			if s.Select = words[0].Is("select"); s.Select {
				p := &parser{tokens: words[1:]}
				s.sel = p.selection()
			}
			all = append(all, s)
		}
		if end.Kind == End {
			break
		}
		tokens = tokens[n+1:]
	}
	return all, nil
}

// NoParameters returns PostgreSQL's error of a parameter in a statement that can have none, nil for none.
func NoParameters(s Statement) error {
	for _, t := range s.Words {
		if t.Kind == Parameter {
			return pgerror.New(pgerror.UndefinedParameter, "there is no parameter $%s", t.Text).At(t.at)
		}
	}
	return nil
}

func (p *parser) next() Token {
	t := p.tokens[0]
	if len(p.tokens) > 1 {
		p.tokens = p.tokens[1:]
	}
	return t
}

func (p *parser) peek() Token { return p.tokens[0] }

// take reads a keyword or symbol if it is one of those.
func (p *parser) take(texts ...string) bool {
	if p.peek().Is(texts...) {
		p.next()
		return true
	}
	return false
}

// takeAll reads words that belong together, or none of them.
func (p *parser) takeAll(texts ...string) bool {
	for i, text := range texts {
		if i >= len(p.tokens) || !p.tokens[i].Is(text) {
			return false
		}
	}
	for range texts {
		p.next()
	}
	return true
}

func (p *parser) want(text string) {
	if !p.take(text) {
		p.refuse()
	}
}

// refuse throws the error of the next token, which is not expected. Clauses that PostgreSQL has are told by name.
func (p *parser) refuse() {
	t := p.peek()
	if t.Kind == Word && has(clauses, t.Text) || t.Kind == Symbol && t.Text != ")" && t.Text != ";" {
		throw(unsupported(t.raw), t.at)
	}
	throw(wrong(t), t.at)
}

func (p *parser) selection() *selection {
	s := &selection{}
	p.take("all")
	for {
		s.targets = append(s.targets, p.target())
		few(len(s.targets), p.peek().at)
		if !p.take(",") {
			break
		}
	}
	if p.take("from") {
		s.table, s.tableAt = p.tableName()
		s.alias = s.table
		if p.take("as") {
			s.alias = p.name()
		} else if isName(p.peek()) {
			s.alias = p.next().Text
		}
	}
	if p.take("where") {
		s.where = p.expr(0)
	}
	if p.take("order") {
		p.want("by")
		for {
			s.order = append(s.order, p.ordering())
			few(len(s.order), p.peek().at)
			if !p.take(",") {
				break
			}
		}
	}
	for range 2 {
		if s.limit == nil && p.take("limit") {
			if s.limit = (&node{kind: "null"}); !p.take("all") {
				s.limit = p.expr(0)
			}
		} else if s.offset == nil && p.take("offset") {
			s.offset = p.expr(0)
			p.take("row", "rows")
		}
	}
	if t := p.peek(); t.Kind != End && !t.Is(";") {
		p.refuse()
	}
	return s
}

func (p *parser) target() target {
	if t := p.peek(); t.Is("*") {
		return target{value: &node{kind: "star", at: p.next().at}}
	} else if t.Is("distinct") || ends(t) { // nothing at all is valid, and of no use
		throw(unsupported("SELECT "+t.raw), t.at)
	}
	out := target{value: p.expr(0)}
	if p.take("as") {
		t := p.next() // any keyword
		if t.Kind != Word && t.Kind != Quoted {
			throw(wrong(t), t.at)
		}
		out.name = t.Text
		return out
	}
	if t := p.peek(); t.Kind == Quoted || t.Kind == Word && !has(reserved, t.Text) && !has(noBareLabels, t.Text) {
		out.name = p.next().Text
	}
	return out
}

// isName reports whether a token may name a column or a table.
func isName(t Token) bool {
	return t.Kind == Quoted || t.Kind == Word && !has(reserved, t.Text) && !has(functionWords, t.Text)
}

// name reads the name of a column or a table.
func (p *parser) name() string {
	t := p.next()
	if !isName(t) {
		throw(wrong(t), t.at)
	}
	return t.Text
}

func (p *parser) tableName() (table string, at int) {
	if t := p.peek(); t.Is("(", "lateral", "only", "rows") {
		throw(unsupported(t.raw), t.at)
	}
	at = p.peek().at
	table = p.name()
	if p.take(".") {
		schema := table
		t := p.next() // any keyword
		if t.Kind != Word && t.Kind != Quoted {
			throw(wrong(t), t.at)
		}
		if table = t.Text; schema != catalog {
			fault(at, pgerror.UndefinedTable, "relation \"%s.%s\" does not exist", schema, table)
		}
	}
	if t := p.peek(); t.Is("(", ".", "*") {
		throw(unsupported(t.raw), t.at)
	}
	return table, at
}

// catalog is the one schema that names may be qualified with.
const catalog = "pg_catalog"

func (p *parser) ordering() ordering {
	o := ordering{by: p.expr(0)}
	if p.take("desc") {
		o.down, o.nulls = true, true
	} else {
		p.take("asc")
	}
	if p.take("nulls") {
		o.nullsStated = true
		if o.nulls = p.take("first"); !o.nulls {
			p.want("last")
		}
	}
	return o
}
