package access

import (
	"fmt"
	"regexp"
	"strings"
)

// compile turns the regular expression of a name into Go's, which takes linear time whatever the name.
// PostgreSQL's are another dialect: what both read alike is taken, all else is refused by name. The
// second result is the problem.
func compile(expr string) (*regexp.Regexp, string) {
	if problem := foreign(expr); problem != "" {
		return nil, problem
	}
	re, err := regexp.Compile("(?s)" + expr) // in PostgreSQL a dot matches a newline too
	if err != nil {
		return nil, strings.TrimPrefix(err.Error(), "error parsing regexp: ")
	}
	return re, ""
}

// foreign names the first thing that the two dialects do not read alike.
func foreign(expr string) string {
	if strings.HasPrefix(expr, "***") {
		return "a director (***) is not supported here"
	}
	bracket := -1 // where the bracket expression began, -1 outside
	for i := 0; i < len(expr); i++ {
		next := byte(0)
		if i+1 < len(expr) {
			next = expr[i+1]
		}
		switch c := expr[i]; {
		case c >= 0x80:
			return "only ASCII is supported here"
		case c == '\\':
			letter := next|0x20 >= 'a' && next|0x20 <= 'z' || next >= '0' && next <= '9' || next >= 0x80
			class := strings.IndexByte("dswDSW", next)
			if letter && (class < 0 || bracket >= 0 && class > 2) {
				return fmt.Sprintf("the escape \\%c is not supported here", next)
			}
			i++
		case bracket >= 0 && c == '[' && (next == '.' || next == '=' || wordBoundary(expr[i:])):
			return fmt.Sprintf("[%c is not supported here", next)
		case bracket >= 0 && c == '[' && next == ':':
			if end := strings.Index(expr[i+2:], ":]"); end >= 0 {
				i += end + 3
			}
		case bracket >= 0 && c == ']' && i > bracket+1 && !(i == bracket+2 && expr[bracket+1] == '^'):
			bracket = -1
		case bracket < 0 && c == '[':
			bracket = i
		case bracket < 0 && c == '(' && next == '?' && !strings.HasPrefix(expr[i:], "(?:"):
			return "(? is not supported here except in (?:"
		}
	}
	return ""
}

// wordBoundary reports whether s begins with [:< or [:>.
func wordBoundary(s string) bool { return strings.HasPrefix(s, "[:<") || strings.HasPrefix(s, "[:>") }
