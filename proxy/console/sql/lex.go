package sql

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/proxy/console/datum"
)

// Kind tells tokens apart.
type Kind uint8

// The kinds of a Token.
const (
	End    Kind = iota // of the text
	Word               // an identifier or keyword without quotes, in lower case
	Quoted             // an identifier in quotes
	String             // a literal, without its quotes
	Number
	Parameter // $1: Text has the digits
	Symbol    // an operator or a punctuation mark
)

// Token is a word of a statement.
type Token struct {
	Kind Kind
	Text string
	raw  string // as it stands in the query
	at   int    // the position: the 1-based character of the query
}

// Is reports whether the token is a keyword or a symbol.
func (t Token) Is(texts ...string) bool {
	return (t.Kind == Word || t.Kind == Symbol) && slices.Contains(texts, t.Text)
}

// throw ends the work on a statement with an error. [catch] returns it.
func throw(e *pgerror.Error, at int) { panic(e.At(at)) }

// fault throws a new error.
func fault(at int, code pgerror.Code, format string, args ...any) {
	throw(pgerror.New(code, format, args...), at)
}

// catch makes an error that was thrown the caller's err.
func catch(err *error) {
	switch e := recover().(type) {
	case nil:
	case *pgerror.Error:
		*err = e
	default:
		panic(e)
	}
}

// Unsupported returns the error of a thing that PostgreSQL has, and this console not.
func Unsupported(t Token) error { return unsupported(t.raw).At(t.at) }

// Wrong returns PostgreSQL's error of a token that should not be there.
func Wrong(t Token) error { return wrong(t).At(t.at) }

func unsupported(what string) *pgerror.Error {
	return pgerror.New(pgerror.FeatureNotSupported, "%s is not supported by the console of replproxy", what)
}

func wrong(t Token) *pgerror.Error {
	if t.Kind == End {
		return pgerror.New(pgerror.SyntaxError, "syntax error at end of input")
	}
	return pgerror.New(pgerror.SyntaxError, "syntax error at or near \"%s\"", t.raw)
}

// lex splits a query into tokens, with one of kind End behind them.
func lex(query string) (all []Token) {
	at, counted := 1, 0 // the character at byte counted
	for i := 0; i < len(query); {
		start := i
		at, counted = at+utf8.RuneCountInString(query[counted:i]), i
		t := Token{at: at}
		switch c, rest := query[i], query[i:]; {
		case strings.IndexByte(" \t\n\r\f", c) >= 0:
			i++
			continue
		case strings.HasPrefix(rest, "--"):
			n := strings.IndexAny(rest, "\n\r")
			if n < 0 {
				n = len(rest)
			}
			i += n
			continue
		case strings.HasPrefix(rest, "/*"):
			i += comment(rest, at)
			continue
		case c == '\'' || c == '"':
			t.Kind, t.Text, i = quoted(query, i, at)
		case letter(c):
			for i < len(query) && (letter(query[i]) || digit(query[i]) || query[i] == '$') {
				i++
			}
			t.Kind, t.Text = Word, datum.Clip(lower(query[start:i]))
			rest = query[i:]
			literal := strings.HasPrefix(rest, "'") || strings.HasPrefix(rest, "&'") || strings.HasPrefix(rest, "&\"")
			if literal && t.Is("e", "b", "x", "n", "u") {
				throw(unsupported("a literal "+query[start:i]+"'…'"), at)
			}
		case digit(c) || c == '.' && i+1 < len(query) && digit(query[i+1]):
			t.Kind, i = Number, number(query, i, at)
			t.Text = query[start:i]
		case c == '$' && i+1 < len(query) && digit(query[i+1]):
			for i++; i < len(query) && digit(query[i]); i++ {
			}
			t.Kind, t.Text = Parameter, query[start+1:i]
			if i < len(query) && (letter(query[i]) || query[i] == '$') {
				throw(unsupported(query[start:i+1]), at)
			}
		case c == '$':
			throw(unsupported("a dollar quote"), at)
		case strings.HasPrefix(rest, "::") || strings.HasPrefix(rest, ":=") || strings.HasPrefix(rest, ".."):
			t.Kind, t.Text, i = Symbol, rest[:2], i+2
		case strings.IndexByte(operators, c) >= 0:
			t.Kind, t.Text = Symbol, operator(rest)
			i += len(t.Text)
			if t.Text == "!=" {
				t.Text = "<>"
			}
		default:
			t.Kind, t.Text, i = Symbol, string(c), i+1
			if strings.IndexByte(",()[].;:", c) < 0 {
				t.raw = query[start:i]
				throw(wrong(t), at)
			}
		}
		t.raw = query[start:i]
		all = append(all, t)
	}
	return append(all, Token{at: at + utf8.RuneCountInString(query[counted:])})
}

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c >= 0x80 }

func digit(c byte) bool { return c >= '0' && c <= '9' }

// lower folds ASCII letters only, as PostgreSQL does in UTF8.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
	return string(b)
}

// comment returns the length of a comment, in which others may be nested.
func comment(s string, at int) int {
	depth := 0
	for i := 0; i+1 < len(s); i++ {
		switch s[i : i+2] {
		case "/*":
			depth++
			i++
		case "*/":
			if depth--; depth == 0 {
				return i + 2
			}
			i++
		}
	}
	fault(at, pgerror.SyntaxError, "unterminated /* comment at or near \"%s\"", s)
	return 0
}

// quoted reads a literal or an identifier in quotes, in which two quotes are one.
func quoted(query string, start, at int) (kind Kind, text string, end int) {
	q, kind, name := query[start], String, "string"
	if q == '"' {
		kind, name = Quoted, "identifier"
	}
	var b strings.Builder
	for i := start + 1; i < len(query); i++ {
		if query[i] != q {
			b.WriteByte(query[i])
			continue
		}
		if i+1 < len(query) && query[i+1] == q {
			b.WriteByte(q)
			i++
			continue
		}
		text = b.String()
		if kind == Quoted {
			if text == "" {
				fault(at, pgerror.SyntaxError, "zero-length delimited identifier at or near \"\"\"\"")
			}
			text = datum.Clip(text)
		}
		return kind, text, i + 1
	}
	fault(at, pgerror.SyntaxError, "unterminated quoted %s at or near \"%s\"", name, query[start:])
	return 0, "", 0
}

// number returns the end of a number: digits, a point, an exponent.
func number(query string, i, at int) int {
	start := i
	digits := func() {
		for i < len(query) && digit(query[i]) {
			i++
		}
	}
	digits()
	if i < len(query) && query[i] == '.' && !strings.HasPrefix(query[i:], "..") {
		i++
		digits()
	}
	if n := i + 1; n < len(query) && query[i]|0x20 == 'e' {
		if (query[n] == '+' || query[n] == '-') && n+1 < len(query) {
			n++
		}
		if digit(query[n]) {
			i = n
			digits()
		}
	}
	if i < len(query) && letter(query[i]) {
		throw(unsupported(query[start:i+1]), at) // an error since 15, or since 16 a number of another base
	}
	return i
}

// operators are the characters that operators are made of.
const operators = "+-*/<>=~!@#%^&|`?"

// maxOperator bounds the characters that are searched for an operator, so that n signs cost n steps. PostgreSQL's
// longest operator has 63.
const maxOperator = 64

// operator returns the longest operator at the beginning of s. A sign is its last character only where one of the
// characters before it is not of standard SQL.
func operator(s string) string {
	n := 0
	for n < min(len(s), maxOperator) && strings.IndexByte(operators, s[n]) >= 0 {
		n++
	}
	for _, begin := range []string{"--", "/*"} {
		if i := strings.Index(s[:n], begin); i > 0 {
			n = i
		}
	}
	other := strings.IndexAny(s[:n], "~!@#%^&|`?")
	for n > 1 && (s[n-1] == '+' || s[n-1] == '-') && (other < 0 || other >= n-1) {
		n--
	}
	return s[:n]
}
