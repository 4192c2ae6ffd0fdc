package config

import (
	"fmt"
	"regexp"
	"strings"
)

// Error is one thing that is wrong with a configuration and where. Line and Column count from 1;
// Line 0 means that no line is to blame. Flag is set when the value came from the command line.
type Error struct {
	File         string
	Line, Column int
	Flag         string
	Key          string
	Message      string
	source       string // the line itself, without secrets
}

// Error is the place, the key and the message; with a line, the line and a caret under it.
func (e *Error) Error() string {
	var b strings.Builder
	switch {
	case e.Flag != "":
		b.WriteString("--" + e.Flag + ": ")
	case e.Line > 0:
		fmt.Fprintf(&b, "%s:%d:%d: ", e.File, e.Line, e.Column)
	case e.File != "":
		b.WriteString(e.File + ": ")
	}
	if e.Key != "" && e.Flag == "" {
		b.WriteString(e.Key + ": ")
	}
	b.WriteString(e.Message)
	if e.Line > 0 && e.Flag == "" {
		number := fmt.Sprintf("%5d", e.Line)
		fmt.Fprintf(&b, "\n%s | %s\n%s | %s^", number, e.source,
			strings.Repeat(" ", len(number)), strings.Repeat(" ", max(0, e.Column-1)))
	}
	return b.String()
}

// Errors is every problem that was found, in the order of the file.
type Errors []*Error

// Error is one problem per paragraph.
func (e Errors) Error() string {
	all := make([]string, len(e))
	for i, x := range e {
		all[i] = x.Error()
	}
	return strings.Join(all, "\n")
}

// secret finds passwords in a conninfo of either form. What follows is masked in excerpts.
var secret = regexp.MustCompile(`(?i)((?:ssl)?password\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s"'&]+)|(://[^:/@\s]*:)\S*@`)

// Redact masks the passwords in a conninfo or in a line that holds one.
func Redact(line string) string {
	return secret.ReplaceAllStringFunc(line, func(m string) string {
		if i := strings.Index(m, "://"); i >= 0 {
			return m[:strings.Index(m[i+3:], ":")+i+4] + "***@"
		}
		return m[:strings.IndexByte(m, '=')+1] + "***"
	})
}
