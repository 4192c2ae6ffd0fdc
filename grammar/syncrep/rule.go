package syncrep

import (
	"strconv"
	"strings"
)

// Method names the way in which the standbys that count are chosen.
type Method uint8

// The methods.
const (
	First Method = iota // the Count connected standbys of highest priority
	Any                 // any Count of them
)

// String returns the method's keyword.
func (m Method) String() string {
	if m == Any {
		return "ANY"
	}
	return "FIRST"
}

// Wildcard is the name that every standby has.
const Wildcard = "*"

// Rule is a parsed setting. The zero Rule is the empty setting: a commit waits for nobody.
type Rule struct {
	Method Method
	// Count is above 0 in every rule but the empty one, and may exceed the number of names, which
	// can then never be satisfied. PostgreSQL computes ANY with the low 8 bits of it (facts C1).
	Count int32
	Names []string // in order of priority, as written
}

// Empty reports whether the rule waits for nobody.
func (r Rule) Empty() bool { return len(r.Names) == 0 }

// String writes the rule with method and count, quoting where needed. The empty rule is "".
func (r Rule) String() string {
	if r.Empty() {
		return ""
	}
	var b strings.Builder
	b.WriteString(r.Method.String() + " " + strconv.Itoa(int(r.Count)) + " (")
	for i, n := range r.Names {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(QuoteName(n))
	}
	b.WriteByte(')')
	return b.String()
}

// Priority returns PostgreSQL's sync_priority of a standby: 0 if the rule does not name it, 1 for ANY. For FIRST it is
// the position of the first matching name, from 1 (facts C2).
func (r Rule) Priority(applicationName string) int {
	for i, n := range r.Names {
		if n != Wildcard && !equalFold(n, applicationName) {
			continue
		}
		if r.Method == Any {
			return 1
		}
		return i + 1
	}
	return 0
}

// QuoteName writes a name as Parse reads it back: plain where that is possible, else in double quotes, as "" is.
func QuoteName(name string) string {
	if name == Wildcard {
		return name
	}
	word := name != "" && isNameStart(name[0]) && span(name, isNameCont) == len(name)
	number := name != "" && span(name, isDigit) == len(name)
	if number || word && !equalFold(name, "any") && !equalFold(name, "first") {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// equalFold compares as pg_strcasecmp does in the C locale: only ASCII letters have case.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func span(s string, in func(byte) bool) int {
	for i := 0; i < len(s); i++ {
		if !in(s[i]) {
			return i
		}
	}
	return len(s)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isNameStart(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' || c >= 0x80 }

func isNameCont(c byte) bool { return isNameStart(c) || isDigit(c) || c == '$' }
