package access

import "strings"

// token is one word of a rule. at is its first byte.
type token struct {
	text   string
	quoted bool // it begins with a quote, which takes the meaning of a keyword away
	at     int
}

// is reports whether the token is the keyword word: quoted it is a name.
func (t token) is(word string) bool { return !t.quoted && t.text == word }

// field has the tokens between two blanks: one, or more with commas between them.
type field []token

// scanner cuts a rule into fields as next_field_expand of hba.c does. A comma joins what follows it,
// blanks before that or not.
type scanner struct {
	line string
	pos  int
}

func blank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' }

// next returns the next field, nil at the end of the line or at a comment.
func (s *scanner) next() (field, *Error) {
	var f field
	for comma := true; comma; {
		t, more, err := s.token()
		if err != nil || t == nil {
			return f, err
		}
		f, comma = append(f, *t), more
	}
	return f, nil
}

// token returns the next token and whether a comma follows it; nil at the end.
func (s *scanner) token() (t *token, comma bool, err *Error) {
	for s.pos < len(s.line) && (blank(s.line[s.pos]) || s.line[s.pos] == ',') {
		s.pos++
	}
	var b strings.Builder
	start, quoted, within, wasQuote := s.pos, false, false, false
	quoteAt := start
	for ; s.pos < len(s.line); s.pos++ {
		c := s.line[s.pos]
		if !within && (blank(c) || c == '#') {
			if c == '#' {
				s.line = s.line[:s.pos] // what follows is a comment
			}
			break
		}
		if c == ',' && !within {
			comma = true
			s.pos++
			break
		}
		if c != '"' || wasQuote {
			b.WriteByte(c)
		}
		wasQuote = within && c == '"' && !wasQuote // twice it stands for itself
		if c == '"' {
			if within = !within; within {
				quoteAt = s.pos
			}
			quoted = quoted || b.Len() == 0
		}
	}
	if within {
		return nil, false, &Error{Offset: quoteAt, Message: "unterminated quoted name"}
	}
	if b.Len() == 0 && !quoted {
		return nil, false, nil
	}
	return &token{b.String(), quoted, start}, comma, nil
}
