package pgerror

import "strings"

// Describe returns err's text with the DETAIL and HINT of each Error in it. They stand behind the words of that Error,
// where those end a part of the text, so that of several servers it is clear which one is meant. Logs and status show
// it, where an operator wants all that the server said.
func Describe(err error) string {
	text, from := err.Error(), 0
	for i, e := range within(err, nil) {
		more, words := e.advice(), e.Error()
		at := strings.Index(text[from:], words)
		end := from + at + len(words)
		switch {
		case more == "":
		case at >= 0 && (end == len(text) || strings.HasPrefix(text[end:], "; ")):
			text, from = text[:end]+more+text[end:], end+len(more)
		case i == 0:
			text += more
		}
	}
	return text
}

// advice returns the DETAIL and HINT as they follow the words of e; "": it has none.
func (e *Error) advice() (text string) {
	if e.Detail != "" {
		text += "; DETAIL: " + e.Detail
	}
	if e.Hint != "" {
		text += "; HINT: " + e.Hint
	}
	return text
}

// within appends the Errors in err to all, in the order of its text, without the causes of those.
func within(err error, all []*Error) []*Error {
	switch x := err.(type) {
	case nil:
	case *Error:
		all = append(all, x)
	case interface{ Unwrap() error }:
		all = within(x.Unwrap(), all)
	case interface{ Unwrap() []error }:
		for _, one := range x.Unwrap() {
			all = within(one, all)
		}
	}
	return all
}
