package grammar

import (
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// parser is recursive descent with one token of look-ahead, which is scanned only where the grammar
// cannot go on without it.
type parser struct {
	scanner *scanner
	v       Version
	ahead   token
	peeked  bool
	err     *pgerror.Error // the first error; everything after it is ignored
}

// command reads a whole text: command, optional semicolon, end. The first error of all is returned, and no command
// then.
func (p *parser) command() (Command, *pgerror.Error) {
	c, check := p.body()
	p.accept(";")
	if p.peek().kind != tokEOF {
		p.syntaxError()
	}
	if p.err == nil && check != nil {
		p.err = check()
	}
	if p.err != nil {
		return nil, p.err
	}
	return c, nil
}

// body reads a command. check, if any, looks at its option list, which PostgreSQL does only after
// the whole text has been accepted by the grammar.
func (p *parser) body() (c Command, check func() *pgerror.Error) {
	switch p.take().text {
	case "IDENTIFY_SYSTEM":
		return &IdentifySystem{}, nil
	case "SHOW":
		return &Show{Name: p.dottedName()}, nil
	case "TIMELINE_HISTORY":
		return &TimelineHistory{Timeline: p.timeline()}, nil
	case "READ_REPLICATION_SLOT":
		return &ReadSlot{Name: p.dottedName()}, nil
	case "CREATE_REPLICATION_SLOT":
		return p.createSlot()
	case "ALTER_REPLICATION_SLOT":
		return p.alterSlot()
	case "DROP_REPLICATION_SLOT":
		return &DropSlot{Name: p.ident(), Wait: p.accept("WAIT")}, nil
	case "START_REPLICATION":
		return p.start(), nil
	case "BASE_BACKUP":
		return p.baseBackup()
	case "UPLOAD_MANIFEST":
		return &UploadManifest{}, nil
	}
	p.syntaxError()
	return nil, nil
}

// dottedName reads identifiers joined with dots; blanks around the dots are dropped.
func (p *parser) dottedName() string {
	name := []byte(p.ident())
	for p.accept(".") {
		name = append(name, '.')
		name = append(name, p.ident()...)
	}
	return string(name)
}

// timeline refuses 0 at once: PostgreSQL does so before it looks at the next token.
func (p *parser) timeline() lsn.TimelineID {
	n := p.expect(tokNumber).num
	if n == 0 {
		p.fail(pgerror.New(pgerror.SyntaxError, "invalid timeline %d", n))
	}
	return lsn.TimelineID(n)
}

func (p *parser) start() Command {
	slot, withSlot := "", p.accept("SLOT")
	if withSlot {
		slot = p.ident()
		if p.accept("LOGICAL") {
			return &StartLogical{Slot: slot, At: p.expect(tokLSN).at, Options: p.pluginOptions()}
		}
	}
	p.accept("PHYSICAL")
	c := &StartPhysical{Slot: slot, WithSlot: withSlot, At: p.expect(tokLSN).at}
	if p.accept("TIMELINE") {
		c.Timeline = p.timeline()
	}
	return c
}

// pluginOptions reads a list in parentheses: names are identifiers, values quoted strings.
func (p *parser) pluginOptions() []PluginOption {
	if !p.accept("(") {
		return nil
	}
	var list []PluginOption
	for p.err == nil {
		o := PluginOption{Name: p.ident()}
		if p.peek().kind == tokString {
			o.Value, o.HasValue = p.take().text, true
		}
		list = append(list, o)
		if !p.accept(",") {
			break
		}
	}
	p.need(")")
	return list
}

func (p *parser) ident() string { return p.expect(tokIdent).text }

// peek returns the next token; after an error it is the end.
func (p *parser) peek() token {
	if p.err != nil {
		return token{kind: tokEOF}
	}
	if !p.peeked {
		t, err := p.scanner.next()
		if err != nil {
			p.fail(err)
			return token{kind: tokEOF}
		}
		p.ahead, p.peeked = t, true
	}
	return p.ahead
}

func (p *parser) take() token {
	t := p.peek()
	p.peeked = false
	return t
}

// accept takes the keyword or character s if it is next.
func (p *parser) accept(s string) bool {
	t := p.peek()
	if (t.kind != tokKeyword && t.kind != tokChar) || t.text != s {
		return false
	}
	p.take()
	return true
}

func (p *parser) need(s string) {
	if !p.accept(s) {
		p.syntaxError()
	}
}

// expect takes a token of the kind, or fails and returns the zero token.
func (p *parser) expect(kind tokenKind) token {
	if p.peek().kind != kind {
		p.syntaxError()
		return token{}
	}
	return p.take()
}

func (p *parser) syntaxError() { p.fail(pgerror.New(pgerror.SyntaxError, "syntax error")) }

func (p *parser) fail(err *pgerror.Error) {
	if p.err == nil {
		p.err = err
	}
}
