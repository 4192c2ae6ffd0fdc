package config

import (
	"fmt"
	"slices"
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

// Error returns the place, the key and the message; with a line, the line and a caret under it.
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

// Error returns one paragraph for each of the problems.
func (e Errors) Error() string {
	all := make([]string, len(e))
	for i, x := range e {
		all[i] = x.Error()
	}
	return strings.Join(all, "\n")
}

// cut takes the rest of the line away, beyond the next colon, unless it belongs to a known key. It may be a password
// under a misspelt key, or a line of another file.
func (e *Error) cut() *Error {
	line := []rune(e.source)
	keep := min(len(line), e.Column)
	name := strings.TrimSpace(string(line[:max(0, keep-1)]))
	for _, k := range keys {
		if strings.TrimSuffix(name, ":") == k.path[strings.LastIndexByte(k.path, '.')+1:] {
			return e
		}
	}
	if colon := slices.Index(line[keep:], ':'); colon >= 0 {
		keep += colon + 1
	}
	if rest := strings.TrimSpace(string(line[keep:])); rest != "" {
		e.source = string(line[:keep]) + " …"
	}
	return e
}
