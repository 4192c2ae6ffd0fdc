package grammar

import (
	"strconv"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

// option is one member of an option list, as the grammar gives it.
type option struct {
	name string
	kind valueKind
	text string // valueString
	num  int32  // valueInt: an unsigned number read into a signed one
}

type valueKind uint8

const (
	valueNone valueKind = iota
	valueString
	valueInt
)

// optionList reads ( option {, option} ); an empty list is a syntax error.
func (p *parser) optionList() []option {
	p.need("(")
	var list []option
	for p.err == nil {
		list = append(list, p.option())
		if !p.accept(",") {
			break
		}
	}
	p.need(")")
	return list
}

// option reads a name, which may be a keyword, and at most one value.
func (p *parser) option() option {
	var o option
	switch t := p.take(); {
	case t.kind == tokIdent:
		o.name = t.text
	case t.kind == tokKeyword && !words[t.text].noOption:
		o.name = lower(t.text)
	default:
		p.syntaxError()
		return o
	}
	switch t := p.peek(); t.kind {
	case tokIdent, tokString:
		o.kind, o.text = valueString, p.take().text
	case tokNumber:
		o.kind, o.num = valueInt, int32(p.take().num)
	}
	return o
}

// str returns the value as text; a number is written in decimal. No value is a syntax error, in PostgreSQL's words.
func (o option) str() (string, *pgerror.Error) {
	switch o.kind {
	case valueString:
		return o.text, nil
	case valueInt:
		return strconv.Itoa(int(o.num)), nil
	}
	return "", syntaxf("%s requires a parameter", o.name)
}

// boolean reads absent, 1, true, on as true and 0, false, off as false, without case. Any other value is a syntax
// error.
func (o option) boolean() (bool, *pgerror.Error) {
	switch o.kind {
	case valueNone:
		return true, nil
	case valueInt:
		if o.num == 0 || o.num == 1 {
			return o.num == 1, nil
		}
	case valueString:
		switch lower(o.text) {
		case "true", "on":
			return true, nil
		case "false", "off":
			return false, nil
		}
	}
	return false, syntaxf("%s requires a Boolean value", o.name)
}

func (o option) number() (int32, *pgerror.Error) {
	if o.kind != valueInt {
		return 0, syntaxf("%s requires a numeric value", o.name)
	}
	return o.num, nil
}

func syntaxf(format string, args ...any) *pgerror.Error {
	return pgerror.New(pgerror.SyntaxError, format, args...)
}

// errConflict returns the answer of slot commands to a repeated option, or to one of the other kind of slot.
func errConflict() *pgerror.Error { return syntaxf("conflicting or redundant options") }
